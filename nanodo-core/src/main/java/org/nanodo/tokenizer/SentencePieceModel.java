package org.nanodo.tokenizer;

import com.google.protobuf.CodedInputStream;
import com.google.protobuf.WireFormat;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What SentencePiece's own code knows of a model and the binding does not tell: its pieces, its special ids, and what
 * decoding does to spaces. Read from the model's protobuf, {@code sentencepiece_model.proto}.
 */
final class SentencePieceModel {
    private static final String SPACE = "\u2581";

    private static final int NORMAL = 1;
    private static final int UNKNOWN = 2;
    private static final int CONTROL = 3;
    private static final int BYTE = 6;

    private record Piece(String text, int type) {}

    private final List<Piece> pieces = new ArrayList<>();
    private final Map<String, Integer> controls = new HashMap<>();
    private String unknownSurface = " \u2047 ";
    private String bos = "<s>";
    private String eos = "</s>";
    private String pad = "<pad>";
    private boolean addsPrefix = true;
    private boolean removesSpaces = true;
    private boolean denormalizes;
    private byte[] characterMap = {};

    /** @throws IOException if the bytes are no such protobuf */
    static SentencePieceModel parse(byte[] bytes) throws IOException {
        var model = new SentencePieceModel();
        read(CodedInputStream.newInstance(bytes), model::modelField);
        if (model.characterMap.length > 0) {
            CharacterMap.check(model.characterMap);
        }
        for (int id = 0; id < model.pieces.size(); id++) {
            if (model.pieces.get(id).type == CONTROL) {
                model.controls.put(model.pieces.get(id).text, id);
            }
        }
        return model;
    }

    int size() {
        return pieces.size();
    }

    /** -1 if there is none, as with the other two. */
    int padId() {
        return controls.getOrDefault(pad, -1);
    }

    int bosId() {
        return controls.getOrDefault(bos, -1);
    }

    int eosId() {
        return controls.getOrDefault(eos, -1);
    }

    /** Whether decoding replaces characters by rules of its own, as hardly any model does. */
    boolean denormalizes() {
        return denormalizes;
    }

    /** What a piece adds to a text, as UTF-8. */
    byte[] surface(int id) {
        Piece piece = pieces.get(id);
        return switch (piece.type) {
            case CONTROL -> new byte[0];
            case UNKNOWN -> unknownSurface.getBytes(StandardCharsets.UTF_8);
            case BYTE ->
                new byte[] {
                    Integer.decode(piece.text.substring(1, piece.text.length() - 1))
                            .byteValue()
                };
            default -> piece.text.replace(SPACE, " ").getBytes(StandardCharsets.UTF_8);
        };
    }

    /** Whether a piece's first space is dropped where a text begins: encoding puts one there. */
    boolean yieldsSpace(int id) {
        Piece piece = pieces.get(id);
        return (addsPrefix || removesSpaces)
                && piece.text.startsWith(SPACE)
                && piece.type != CONTROL
                && piece.type != UNKNOWN;
    }

    /** Whether not only the first of them is dropped. */
    boolean yieldsEverySpace() {
        return removesSpaces;
    }

    private boolean modelField(int field, CodedInputStream in) throws IOException {
        switch (field) {
            case 1 -> {
                var piece = new PieceFields();
                read(in.readBytes().newCodedInput(), piece::field);
                pieces.add(new Piece(piece.text, piece.type));
            }
            case 2 -> read(in.readBytes().newCodedInput(), this::trainerField);
            case 3 -> read(in.readBytes().newCodedInput(), this::normalizerField);
            case 5 -> read(in.readBytes().newCodedInput(), this::denormalizerField);
            default -> {
                return false;
            }
        }
        return true;
    }

    private static final class PieceFields {
        private String text = "";
        private int type = NORMAL;

        private boolean field(int field, CodedInputStream in) throws IOException {
            switch (field) {
                case 1 -> text = in.readStringRequireUtf8();
                case 3 -> type = in.readEnum();
                default -> {
                    return false;
                }
            }
            return true;
        }
    }

    private boolean trainerField(int field, CodedInputStream in) throws IOException {
        switch (field) {
            case 44 -> unknownSurface = in.readStringRequireUtf8();
            case 46 -> bos = in.readStringRequireUtf8();
            case 47 -> eos = in.readStringRequireUtf8();
            case 48 -> pad = in.readStringRequireUtf8();
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean normalizerField(int field, CodedInputStream in) throws IOException {
        switch (field) {
            case 2 -> characterMap = in.readByteArray();
            case 3 -> addsPrefix = in.readBool();
            case 4 -> removesSpaces = in.readBool();
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean denormalizerField(int field, CodedInputStream in) throws IOException {
        if (field != 2) {
            return false;
        }
        denormalizes |= !in.readBytes().isEmpty();
        return true;
    }

    /** Takes a field's value. False if it does not want it. */
    private interface Fields {
        boolean take(int field, CodedInputStream in) throws IOException;
    }

    private static void read(CodedInputStream in, Fields fields) throws IOException {
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            if (!fields.take(WireFormat.getTagFieldNumber(tag), in)) {
                in.skipField(tag);
            }
        }
    }
}
