package org.nanodo.examples;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;

@Tag("slow")
class ExamplesTest {
    private static final List<String> TINY =
            List.of("--steps", "4", "-D", "16", "-H", "2", "-N", "1", "-L", "16", "-B", "2", "--prompt", "one");

    @TempDir
    Path directory;

    private int status;

    @Test
    void trainsResumesAndGenerates() throws Exception {
        Path text = Files.writeString(directory.resolve("text"), "one two three four five six seven\n".repeat(2000));
        String workdir = directory.resolve("run").toString();
        String first = run(new TrainJava(), TINY, "--data", text.toString(), "--workdir", workdir);
        assertThat(first)
                .contains("step 4 of 4", "step 4  val loss", "A sample at temperature 0.8:\n\none")
                .contains(" documents to learn from, 1 held out");
        assertThat(status).isZero();

        String again = run(new TrainJava(), TINY, "--data", text.toString(), "--workdir", workdir);
        assertThat(again).doesNotContain("step 3 of 4").contains("A sample");
        assertThat(again.substring(again.indexOf("A sample"))).isEqualTo(first.substring(first.indexOf("A sample")));

        String fresh = run(new TrainJava(), TINY, "--data", text.toString(), "--workdir", workdir, "--fresh");
        assertThat(fresh).contains("step 1 of 4");

        String generated =
                run(new Generate(), List.of(), workdir, "--prompt", "two", "--max-tokens", "20", "--top-k", "5");
        assertThat(generated).startsWith("two").hasSizeGreaterThan(3);
        Path checkpoint = Path.of(workdir, "step_00000004");
        assertThat(run(new Generate(), List.of(), checkpoint.toString(), "--max-tokens", "1"))
                .startsWith("public class ");
        Files.delete(checkpoint.resolve("manifest.json")); // as whoever changes its config does
        assertThat(run(new Generate(), List.of(), checkpoint.toString(), "--max-tokens", "1"))
                .startsWith("public class ");
        assertThat(run(new Inspect(), List.of(), checkpoint.toString()))
                .contains("has no manifest.json", "blocks.0.query");
        Files.delete(checkpoint.resolve("tokenizer.json"));
        check(new Generate(), "step_00000004 has no tokenizer.json", checkpoint.toString());
    }

    @ParameterizedTest
    @MethodSource("org.nanodo.model.ModelFactory#names")
    void anyModelIsTrainedInspectedAndLetWrite(String kind) throws Exception {
        Path text = Files.writeString(directory.resolve("text"), "one two three four five six seven\n".repeat(2000));
        String workdir = directory.resolve("run").toString();
        run(new TrainJava(), TINY, "--model", kind, "--data", text.toString(), "--workdir", workdir);
        assertThat(status).isZero();
        assertThat(run(new Inspect(), List.of(), workdir)).contains("\"model\" : \"" + kind + "\"", "\"D\" : 16");
        assertThat(run(new Generate(), List.of(), workdir, "--prompt", "two", "--max-tokens", "20"))
                .startsWith("two");
        check(new TrainJava(), "There is no model \"bert\" on the class path; known are ", "--model", "bert");
    }

    @Test
    void inspectShowsAndVerifies() throws Exception {
        Path text = Files.writeString(directory.resolve("text"), "one two three four five six seven\n".repeat(2000));
        Path workdir = directory.resolve("run");
        run(new TrainJava(), TINY, "--data", text.toString(), "--workdir", workdir.toString());
        assertThat(run(new Inspect(), List.of(), workdir.toString()))
                .contains("step_00000004 is whole", "\"step\" : 4", "\"D\" : 16", "\"library\" : \"0.")
                .contains("blocks.0.query                   Float[16, 2, 8]", "numbers")
                .doesNotContain("m.blocks.0.query");
        Path checkpoint = workdir.resolve("step_00000004");
        assertThat(run(new Inspect(), List.of(), checkpoint.toString(), "--all"))
                .contains("m.blocks.0.query");
        byte[] bytes = Files.readAllBytes(checkpoint.resolve("model.safetensors"));
        bytes[bytes.length - 1] ^= 1;
        Files.write(checkpoint.resolve("model.safetensors"), bytes);
        check(new Inspect(), "model.safetensors: is not as it was written", checkpoint.toString());
    }

    @Test
    void theDefaultTextIsOnTheClassPath() {
        String output =
                run(new TrainJava(), TINY, "--workdir", directory.resolve("run").toString());
        assertThat(output)
                .containsPattern("\\d{3} documents to learn from, \\d+ held out")
                .contains("A sample");
    }

    @Test
    void shakespeare() throws Exception {
        String text = Files.writeString(directory.resolve("text"), "to be or not to be\n".repeat(200))
                .toString();
        assertThat(run(new ShakespeareChar(), List.of("--train", text, "--validation", text, "--steps", "3")))
                .contains("step 3  val loss", "seconds");
    }

    @Test
    void benchmark() throws Exception {
        Path json = directory.resolve("results");
        for (int i = 0; i < 2; i++) {
            assertThat(run(new Benchmark(), List.of("--steps", "3", "--warmup", "1", "--json", json.toString())))
                    .containsPattern("step_ms +\\d")
                    .containsPattern("mfu +0\\.\\d");
        }
        assertThat(Files.readAllLines(json)).hasSize(2).allMatch(line -> line.startsWith("{\"preset\""));
        check(new Benchmark(), "no preset \"gpt5\"", "--preset", "gpt5");
    }

    @Test
    void helpExplainsEverything() {
        assertThat(run(new TrainJava(), List.of(), "--help"))
                .contains(
                        "--data=PATH", "--workdir=DIR", "--steps", "--learning-rate", "--fresh", "--seed", "--prompt");
        assertThat(run(new Generate(), List.of(), "--help")).contains("--temperature", "--top-k", "--top-p");
    }

    @Test
    void mistakesAreToldInALine() throws Exception {
        check(new TrainJava(), "no/such/file does not exist", "--data", "no/such/file");
        check(new TrainJava(), "D=10 is not divisible by H=4", "-D", "10");
        check(new TrainJava(), "--stepz", "--stepz", "3");
        check(
                new TrainJava(),
                "is empty",
                "--data",
                Files.writeString(directory.resolve("empty"), "").toString());
        check(
                new Generate(),
                "nowhere does not exist",
                directory.resolve("nowhere").toString());
    }

    private void check(Object command, String message, String... args) {
        String output = run(command, List.of(), args);
        assertThat(output).contains(message).doesNotContain("\tat ");
        assertThat(status).isNotZero();
    }

    private String run(Object command, List<String> options, String... more) {
        var args = new ArrayList<>(options);
        args.addAll(Arrays.asList(more));
        var console = Console.of(() -> new CommandLine(command), args.toArray(String[]::new));
        status = console.status();
        return console.output();
    }
}
