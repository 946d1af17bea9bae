package org.nanodo.tokenizer;

import com.knuddels.jtokkit.Encodings;
import com.knuddels.jtokkit.api.Encoding;
import com.knuddels.jtokkit.api.EncodingType;
import com.knuddels.jtokkit.api.IntArrayList;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** A tokenizer with GPT-2's vocabulary, which jtokkit contains. Text that spells a special token is encoded as plain text. */
final class Gpt2Tokenizer implements Tokenizer {
    private static final int END_OF_TEXT = 50_256;

    private final Encoding encoding = Encodings.newLazyEncodingRegistry().getEncoding(EncodingType.R50K_BASE);

    @Override
    public int[] encode(String text) {
        return encoding.encodeOrdinary(text).toArray();
    }

    @Override
    public String decode(int... ids) {
        var plain = new IntArrayList(ids.length);
        for (int id : ids) {
            if (id >= 0 && id < END_OF_TEXT) {
                plain.add(id);
            }
        }
        return new String(encoding.decodeBytes(plain), StandardCharsets.UTF_8);
    }

    @Override
    public int vocabSize() {
        return END_OF_TEXT + 1;
    }

    @Override
    public int padId() {
        return END_OF_TEXT;
    }

    @Override
    public int bosId() {
        return END_OF_TEXT;
    }

    @Override
    public int eosId() {
        return END_OF_TEXT;
    }

    @Override
    public Map<String, String> spec() {
        return Map.of("kind", "gpt2");
    }
}
