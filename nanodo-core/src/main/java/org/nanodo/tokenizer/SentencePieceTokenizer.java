package org.nanodo.tokenizer;

import ai.djl.sentencepiece.SpTokenizer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * A tokenizer with a SentencePiece model. SentencePiece encodes, but this class decodes, because the binding truncates decoded texts
 * at a NUL and corrupts characters beyond U+FFFF.
 */
final class SentencePieceTokenizer implements Tokenizer {
    private static final Cleaner CLEANER = Cleaner.create();

    private final TokenizerFile file;
    private final SpTokenizer encoder;
    private final SentencePieceModel model;
    private final byte[][] surfaces;

    private SentencePieceTokenizer(TokenizerFile file, SpTokenizer encoder, SentencePieceModel model) {
        this.file = file;
        this.encoder = encoder;
        this.model = model;
        surfaces = new byte[model.size()][];
        for (int id = 0; id < surfaces.length; id++) {
            surfaces[id] = model.surface(id);
        }
        CLEANER.register(this, encoder::close);
    }

    /** @throws IllegalArgumentException if the file is not a model that NanoDO can train with */
    static SentencePieceTokenizer of(TokenizerFile file) throws IOException {
        SpTokenizer encoder;
        SentencePieceModel model;
        try {
            model = SentencePieceModel.parse(file.bytes()); // first, because SentencePiece does not validate its input
            encoder = new SpTokenizer(file.bytes());
        } catch (RuntimeException | IOException e) {
            throw new IllegalArgumentException(
                    file.path() + " is not a complete SentencePiece model: " + e.getMessage(), e);
        }
        String train = ": train it with --pad_id=0 --eos_id=1 --bos_id=2 --unk_id=3, like NanoDO's";
        check(model.padId() == 0, file, "must have the padding id 0, not " + model.padId() + train);
        check(model.bosId() >= 0, file, "has no BOS piece, which begins documents" + train);
        check(model.eosId() >= 0, file, "has no EOS piece, which ends documents" + train);
        check(!model.denormalizes(), file, "has denormalization rules, which decoding does not support");
        return new SentencePieceTokenizer(file, encoder, model);
    }

    @Override
    public int[] encode(String text) {
        int[] ids = encoder.getProcessor().encode(text);
        Reference.reachabilityFence(this);
        return ids;
    }

    @Override
    public String decode(int... ids) {
        var text = new ByteArrayOutputStream();
        boolean atStart = true;
        for (int id : ids) {
            if (id >= 0 && id < surfaces.length) {
                boolean drops = atStart && text.size() == 0 && model.dropsSpace(id);
                text.write(surfaces[id], drops ? 1 : 0, surfaces[id].length - (drops ? 1 : 0));
                atStart &= !drops || model.dropsEverySpace();
            }
        }
        return text.toString(StandardCharsets.UTF_8);
    }

    @Override
    public int vocabSize() {
        return surfaces.length;
    }

    @Override
    public int padId() {
        return model.padId();
    }

    @Override
    public int bosId() {
        return model.bosId();
    }

    @Override
    public int eosId() {
        return model.eosId();
    }

    @Override
    public Map<String, String> spec() {
        return file.spec("sentencepiece", Map.of());
    }

    private static void check(boolean holds, TokenizerFile file, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(file.path() + " " + otherwise);
        }
    }
}
