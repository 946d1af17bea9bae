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
 * The parts of a SentencePiece model that the binding does not expose: the pieces, the special ids, and how decoding treats spaces.
 * They are read from the model's protobuf, {@code sentencepiece_model.proto}.
 */
final class SentencePieceModel {
    private static final String SPACE = "\u2581";

    private static final int NORMAL = 1;
    private static final int UNKNOWN = 2;
    private static final int CONTROL = 3;
    private static final int BYTE = 6;

    private static final class Piece {
        private String text = "";
        private int type = NORMAL;
    }

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

    /** @throws IOException if the bytes are not such a protobuf */
    static SentencePieceModel parse(byte[] bytes) throws IOException {
        var model = new SentencePieceModel();
        read(CodedInputStream.newInstance(bytes), model::readModel);
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

    /** Returns the padding's id, or -1 if the model has none, as do the methods for BOS and EOS. */
    int padId() {
        return controls.getOrDefault(pad, -1);
    }

    int bosId() {
        return controls.getOrDefault(bos, -1);
    }

    int eosId() {
        return controls.getOrDefault(eos, -1);
    }

    /** Returns whether decoding replaces characters by rules of its own, which is rare. */
    boolean denormalizes() {
        return denormalizes;
    }

    /** Returns the UTF-8 that a piece adds to a text. */
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

    /** Returns whether decoding drops a piece's first space at the beginning of a text, where encoding may have added it. */
    boolean dropsSpace(int id) {
        Piece piece = pieces.get(id);
        return (addsPrefix || removesSpaces)
                && piece.text.startsWith(SPACE)
                && piece.type != CONTROL
                && piece.type != UNKNOWN;
    }

    /** Returns whether decoding drops all spaces at the beginning of a text, not only the first. */
    boolean dropsEverySpace() {
        return removesSpaces;
    }

    /** Reads the field that a tag announces, or skips it. */
    private interface FieldReader {
        void read(int tag, CodedInputStream in) throws IOException;
    }

    private static void read(CodedInputStream in, FieldReader fields) throws IOException {
        for (int tag = in.readTag(); tag != 0; tag = in.readTag()) {
            fields.read(tag, in);
        }
    }

    private void readModel(int tag, CodedInputStream in) throws IOException {
        switch (WireFormat.getTagFieldNumber(tag)) {
            case 1 -> {
                var piece = new Piece();
                read(in.readBytes().newCodedInput(), (inner, fields) -> readPiece(piece, inner, fields));
                pieces.add(piece);
            }
            case 2 -> read(in.readBytes().newCodedInput(), this::readTrainer);
            case 3 -> read(in.readBytes().newCodedInput(), this::readNormalizer);
            case 5 -> read(in.readBytes().newCodedInput(), this::readDenormalizer);
            default -> in.skipField(tag);
        }
    }

    private static void readPiece(Piece piece, int tag, CodedInputStream in) throws IOException {
        switch (WireFormat.getTagFieldNumber(tag)) {
            case 1 -> piece.text = in.readStringRequireUtf8();
            case 3 -> piece.type = in.readEnum();
            default -> in.skipField(tag);
        }
    }

    private void readTrainer(int tag, CodedInputStream in) throws IOException {
        switch (WireFormat.getTagFieldNumber(tag)) {
            case 44 -> unknownSurface = in.readStringRequireUtf8();
            case 46 -> bos = in.readStringRequireUtf8();
            case 47 -> eos = in.readStringRequireUtf8();
            case 48 -> pad = in.readStringRequireUtf8();
            default -> in.skipField(tag);
        }
    }

    private void readNormalizer(int tag, CodedInputStream in) throws IOException {
        switch (WireFormat.getTagFieldNumber(tag)) {
            case 2 -> characterMap = in.readByteArray();
            case 3 -> addsPrefix = in.readBool();
            case 4 -> removesSpaces = in.readBool();
            default -> in.skipField(tag);
        }
    }

    private void readDenormalizer(int tag, CodedInputStream in) throws IOException {
        switch (WireFormat.getTagFieldNumber(tag)) {
            case 2 -> denormalizes |= !in.readBytes().isEmpty();
            default -> in.skipField(tag);
        }
    }
}
