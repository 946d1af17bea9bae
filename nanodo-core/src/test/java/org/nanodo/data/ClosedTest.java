package org.nanodo.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import com.jerolba.carpet.CarpetWriter;
import com.jerolba.carpet.io.FileSystemOutputFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.apache.parquet.io.api.Binary;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nanodo.Documents;
import org.nanodo.source.Document;
import org.nanodo.source.DocumentReader;
import org.nanodo.source.IndexedTextSource;
import org.nanodo.source.TextSource;

/** Closed things say that they are closed, on whatever thread. */
@Timeout(60)
class ClosedTest {
    record Raw(Binary text) {}

    @TempDir
    Path directory;

    @Test
    void aClosedIteratorSaysSo() {
        BatchIterator batches = PackedDataset.of(TextSource.of("some text", "and more"))
                .length(4)
                .batch(1)
                .iterator();
        batches.next();
        Position position = batches.position();
        batches.close();
        batches.close();
        for (Runnable use : new Runnable[] {
            batches::next, batches::hasNext, batches::position, batches::textSize, () -> batches.seek(position)
        }) {
            assertThatThrownBy(use::run)
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("is closed");
        }
    }

    /** The first asks for a document that never comes: the wait has to end with the iterator. */
    @Test
    void closingEndsAWaitOnAnotherThread() throws Exception {
        var asked = new CountDownLatch(1);
        IndexedTextSource endless = new IndexedTextSource() {
            @Override
            public int size() {
                return 1;
            }

            @Override
            public String name(int index) {
                return "endless";
            }

            @Override
            public Document read(int index) {
                asked.countDown();
                try {
                    Thread.sleep(Long.MAX_VALUE);
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
                return null;
            }
        };
        BatchIterator batches = PackedDataset.of(endless).iterator();
        var waiting = new FutureTask<>(() -> catchThrowable(batches::next));
        new Thread(waiting).start();
        asked.await();
        batches.close();
        assertThat(waiting.get(30, TimeUnit.SECONDS))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("is closed");
    }

    @ParameterizedTest
    @ValueSource(strings = {"a.jsonl", "a.jsonl.gz", "a.parquet"})
    void aClosedReaderSaysSo(String name) throws Exception {
        Path file = directory.resolve(name);
        String lines = "{\"text\":\"a\"}\n".repeat(10_000); // more than a buffer
        if (name.endsWith("gz")) {
            Documents.gzip(file, lines.getBytes());
        } else if (name.endsWith("parquet")) {
            try (var writer = new CarpetWriter<>(new FileSystemOutputFile(file.toFile()), Raw.class)) {
                writer.write(new Raw(Binary.fromString("a")));
                writer.write(new Raw(Binary.fromString("b")));
            }
        } else {
            Files.writeString(file, lines);
        }
        TextSource source = name.endsWith("parquet")
                ? TextSource.parquet(file.toString(), "text")
                : TextSource.jsonLines(file.toString(), "text");
        DocumentReader reader = source.open(0);
        assertThat(Documents.text(reader.next())).isEqualTo("a");
        reader.close();
        reader.close();
        assertThatThrownBy(reader::next)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("The reader of " + file + " is closed");
    }
}
