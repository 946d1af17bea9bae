package org.nanodo.data;

import java.io.IOException;
import java.nio.file.Path;
import org.apache.parquet.ParquetReadOptions;
import org.apache.parquet.column.ColumnDescriptor;
import org.apache.parquet.column.ColumnReader;
import org.apache.parquet.column.impl.ColumnReadStoreImpl;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.conf.PlainParquetConfiguration;
import org.apache.parquet.example.data.simple.convert.GroupRecordConverter;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.io.LocalInputFile;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName;
import org.apache.parquet.schema.Type;

/** One column of text in a Parquet file. Its pages are decompressed here by one thread, values decoded by those that encode. */
final class ParquetColumn implements DocumentReader {
    private final Path file;
    private final ParquetFileReader reader;
    private final MessageType schema;
    private final String createdBy;
    private ColumnReader values;
    private long rest; // rows of this row group
    private long row;

    private ParquetColumn(Path file, ParquetFileReader reader, String column) throws IOException {
        this.file = file;
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
        this.createdBy = reader.getFileMetaData().getCreatedBy();
        reader.setRequestedSchema(schema);
    }

    static DocumentReader open(Path file, String column) throws IOException {
        ParquetFileReader reader;
        try {
            var options =
                    ParquetReadOptions.builder(new PlainParquetConfiguration()).build();
            reader = ParquetFileReader.open(new LocalInputFile(file), options);
        } catch (IOException | RuntimeException e) {
            throw damaged(file, "its footer cannot be read", e);
        }
        try {
            return new ParquetColumn(file, reader, column);
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
                ColumnDescriptor column = schema.getColumns().get(0);
                values = new ColumnReadStoreImpl(
                                rowGroup, new GroupRecordConverter(schema).getRootConverter(), schema, createdBy)
                        .getColumnReader(column);
            }
            boolean present =
                    values.getCurrentDefinitionLevel() == values.getDescriptor().getMaxDefinitionLevel();
            byte[] utf8 = present ? values.getBinary().getBytes() : null;
            values.consume();
            rest--;
            row++;
            return new Value(file + " row " + row, values.getDescriptor().getPath()[0], utf8);
        } catch (IOException | RuntimeException e) {
            throw damaged(file, "it cannot be read after row " + row, e);
        }
    }

    private static IOException damaged(Path file, String where, Exception e) {
        return new IOException(
                file + " is truncated or damaged, or no Parquet file: " + where + ": " + e.getMessage(), e);
    }

    @Override
    public void close() throws IOException {
        reader.close();
    }

    /** @param utf8 null where there is none */
    private record Value(String name, String column, byte[] utf8) implements UnreadText {
        @Override
        public int bytes() {
            return utf8 == null ? 0 : utf8.length;
        }

        @Override
        public Document read() throws CorruptDocumentException {
            if (utf8 == null) {
                throw new CorruptDocumentException(name + " has no \"" + column + "\": it is null");
            }
            return Document.decodeStrictly(name, utf8);
        }
    }
}
