// NanoDO in jshell. From the top of the project, once: mvn -q -DskipTests install dependency:build-classpath -Dmdep.outputFile=target/cp
// Then: jshell --class-path nanodo-core/target/classes:$(cat nanodo-core/target/cp) docs/nanodo.jsh
import org.nanodo.data.*
import org.nanodo.metrics.*
import org.nanodo.model.*
import org.nanodo.optim.*
import org.nanodo.runtime.*
import org.nanodo.source.*
import org.nanodo.tokenizer.*
import org.nanodo.train.*

// LibTorch's bindings have types of these names too. Single imports win, so that both packages can be used together.
import org.nanodo.model.Sampler
import org.nanodo.optim.AdamW
import org.nanodo.optim.Optimizer
import org.nanodo.runtime.Device
import org.nanodo.runtime.Operator
import org.nanodo.runtime.Scope
import org.bytedeco.pytorch.*

System.out.println(Natives.describe())

// A tensor of LibTorch, freed with its scope.
try (var scope = Scope.open()) { Tensor sum_3 = Tensors.range(Device.cpu(), 3).add(Tensors.range(Device.cpu(), 3)); System.out.println("sum: " + sum_3.sum().item_long()); }

// Data flows one way: text, tokens, packed batches, model, loss, optimizer.
var text = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n"
var tokenizer = Tokenizer.characters(text)
var data = PackedDataset.of(TextSource.of(text)).tokenizer(tokenizer).length(32).batch(8).shuffle(1)

// A model of a few thousand parameters, and a run of 200 steps.
var config = TransformerConfig.builder().D(32).H(4).L(32).N(1).F(128).V(tokenizer.vocabSize()).build()
var model = DecoderModel.create(config, 42)
var trainer = Trainer.of(model).data(data).optimizer(AdamW.with().b2(0.99)).steps(200).schedule(Schedule.constant(1e-2)).listen(m -> { if (m.step() % 50 == 0) System.out.println(m); }).build()
trainer.run()

// What it learned: a continuation, and the probability of each token of a text.
System.out.println("sample: " + model.generate(tokenizer, "To be").temperature(0.5).maxTokens(25).text().replace('\n', ' '))
System.out.println(model.logProbs(tokenizer.encode("the question")).length + " log-probabilities")

trainer.close()
model.close()
/exit
