package org.nanodo.source;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.parquet.ParquetReadOptions;
import org.apache.parquet.column.ColumnDescriptor;
import org.apache.parquet.column.ColumnReader;
import org.apache.parquet.column.impl.ColumnReadStoreImpl;
import org.apache.parquet.column.page.DataPage;
import org.apache.parquet.column.page.DictionaryPage;
import org.apache.parquet.column.page.Page;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.column.page.PageReader;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.example.data.simple.convert.GroupRecordConverter;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.io.LocalInputFile;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName;
import org.apache.parquet.schema.Type;
import org.nanodo.tokenizer.Tokenizer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Reads one text column of a Parquet file. The reading thread decompresses pages; the encoding threads decode the values. */
final class ParquetColumn implements DocumentReader {
    private static final Logger log = LoggerFactory.getLogger(TextSource.class);

    private final Path file;
    private final ParquetFileReader reader;
    private final MessageType schema;
    private final AtomicBoolean unchecked;
    private ColumnReader values;
    private long rest; // rows left in this row group
    private long row;

    private ParquetColumn(Path file, ParquetFileReader reader, String column, AtomicBoolean unchecked)
            throws IOException {
        this.file = file;
        this.unchecked = unchecked;
        this.reader = reader;
        MessageType all = reader.getFileMetaData().getSchema();
        if (!all.containsField(column)) {
            throw new IOException(file + " has no column \"" + column + "\", only "
                    + String.join(
                            ", ", all.getFields().stream().map(Type::getName).toList()));
        }
        Type type = all.getType(column);
        if (!type.isPrimitive()
                || type.isRepetition(Type.Repetition.REPEATED)
                || type.asPrimitiveType().getPrimitiveTypeName() != PrimitiveTypeName.BINARY) {
            throw new IOException(file + ": column \"" + column + "\" is not text but " + type);
        }
        this.schema = new MessageType(all.getName(), type);
        reader.setRequestedSchema(schema);
    }

    /** @param unchecked set once a file of the source without checksums has been reported */
    static DocumentReader open(Path file, String column, AtomicBoolean unchecked) throws IOException {
        ParquetFileReader reader;
        try {
            var options = ParquetReadOptions.builder(new PlainParquetConfiguration())
                    .usePageChecksumVerification()
                    .build();
            reader = ParquetFileReader.open(new LocalInputFile(file), options);
        } catch (FileNotFoundException | FileSystemException e) { // not a matter of its content
            throw e;
        } catch (IOException | RuntimeException | OutOfMemoryError e) {
            throw damaged(file, "its footer cannot be read", e);
        }
        try {
            return new ParquetColumn(file, reader, column, unchecked);
        } catch (IOException | RuntimeException e) {
            reader.close();
            throw e;
        }
    }

    @Override
    public UnreadDocument next() throws IOException {
        try {
            while (rest == 0) {
                PageReadStore rowGroup = reader.readNextRowGroup();
                if (rowGroup == null) {
                    return null;
                }
                rest = rowGroup.getRowCount();
                values = new ColumnReadStoreImpl(
                                watched(rowGroup),
                                new GroupRecordConverter(schema).getRootConverter(),
                                schema,
                                reader.getFileMetaData().getCreatedBy())
                        .getColumnReader(schema.getColumns().get(0));
            }
            boolean present =
                    values.getCurrentDefinitionLevel() == values.getDescriptor().getMaxDefinitionLevel();
            byte[] utf8 = present ? values.getBinary().getBytes() : null;
            values.consume();
            rest--;
            row++;
            return new Value(file + " row " + row, values.getDescriptor().getPath()[0], utf8);
        } catch (IOException | RuntimeException | OutOfMemoryError e) { // a damaged page may request any size
            throw damaged(file, "it cannot be read after row " + row, e);
        }
    }

    private static IOException damaged(Path file, String where, Throwable e) {
        String message = String.valueOf(e.getMessage());
        return new IOException(
                file + " is truncated or damaged, or not a Parquet file: " + where + ": "
                        + message.substring(0, Math.min(message.length(), 200)), // it may quote a whole header
                e);
    }

    @Override
    public void close() throws IOException {
        reader.close();
    }

    /** Inspects pages for checksums: the library verifies those that exist, but does not report others. */
    private PageReadStore watched(PageReadStore rowGroup) {
        return new PageReadStore() {
            @Override
            public long getRowCount() {
                return rowGroup.getRowCount();
            }

            @Override
            public PageReader getPageReader(ColumnDescriptor column) {
                return watched(rowGroup.getPageReader(column));
            }
        };
    }

    private PageReader watched(PageReader pages) {
        return new PageReader() {
            @Override
            public DictionaryPage readDictionaryPage() {
                return watched(pages.readDictionaryPage());
            }

            @Override
            public long getTotalValueCount() {
                return pages.getTotalValueCount();
            }

            @Override
            public DataPage readPage() {
                return watched(pages.readPage());
            }
        };
    }

    private <P extends Page> P watched(P page) {
        if (page != null && page.getCrc().isEmpty() && unchecked.compareAndSet(false, true)) {
            log.warn(
                    "{} has pages without checksums: damage to their data cannot be detected, in this file and in "
                            + "others of the source that were written the same way",
                    file);
        }
        return page;
    }

    /** @param utf8 null for a null value */
    private record Value(String name, String column, byte[] utf8) implements UnreadDocument {
        @Override
        public int bytes() {
            return utf8 == null ? 0 : utf8.length;
        }

        @Override
        public Tokens tokens(Tokenizer tokenizer) throws IOException {
            if (utf8 == null) {
                throw new CorruptDocumentException(name + " has no \"" + column + "\": it is null");
            }
            return Document.decodeStrictly(name, utf8).encode(tokenizer);
        }
    }
}
