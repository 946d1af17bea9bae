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

System.out.println(Natives.describe())

// Data flows one way: text, tokens, packed batches, model, loss, optimizer.
var text = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n"
var tokenizer = Tokenizer.characters(text)
var data = PackedDataset.of(TextSource.of(text)).tokenizer(tokenizer).length(32).batch(8).shuffle(1)

// A model of a few thousand parameters, and a run of 200 steps.
var config = TransformerConfig.builder().D(32).H(4).L(32).N(1).F(128).V(tokenizer.vocabSize()).build()
var model = DecoderModel.create(config, 42)
var trainer = Trainer.of(model).data(data).steps(200).schedule(Schedule.constant(1e-2)).listen(m -> { if (m.step() % 50 == 0) System.out.println(m); }).build()
trainer.run()

// What it learned: a continuation, and the probability of each token of a text.
System.out.println("sample: " + model.generate(tokenizer, "To be").temperature(0.5).maxTokens(25).text().replace('\n', ' '))
System.out.println(model.logProbs(tokenizer.encode("the question")).length + " log-probabilities")

trainer.close()
model.close()
/exit
