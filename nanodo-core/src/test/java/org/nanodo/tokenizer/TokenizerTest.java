package org.nanodo.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TokenizerTest {
    private static final String TEXT = "Größe, 你好 🙂\n\tfoo(bar) ";

    @Test
    void bytes() {
        Tokenizer tokenizer = Tokenizer.bytes();
        assertThat(tokenizer.encode("aé")).containsExactly('a' + 3, 0xC3 + 3, 0xA9 + 3);
        assertThat(tokenizer.decode(1, 'a' + 3, 0, 2)).isEqualTo("a");
        assertThat(tokenizer.decode(0xC3 + 3)).isEqualTo("\uFFFD");
        assertThat(new int[] {tokenizer.padId(), tokenizer.bosId(), tokenizer.eosId(), tokenizer.vocabSize()})
                .containsExactly(0, 1, 2, 259);
    }

    @Test
    void characters() {
        Tokenizer tokenizer = Tokenizer.characters("banana🙂");
        assertThat(tokenizer.vocabSize()).isEqualTo(3 + 4);
        assertThat(tokenizer.encode("ab🙂n")).containsExactly(3, 4, 6, 5);
        assertThat(tokenizer.decode(1, 3, 4, 6, 5, 2)).isEqualTo("ab🙂n");
        assertThatThrownBy(() -> tokenizer.encode("bx"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("'x' (U+0078) at position 1");
        assertThatThrownBy(() -> Tokenizer.characters("")).hasMessageContaining("empty");
    }

    @Test
    void gpt2() {
        Tokenizer tokenizer = Tokenizer.gpt2();
        assertThat(tokenizer.encode("Hello world")).containsExactly(15496, 995); // as in OpenAI's encoder
        assertThat(tokenizer.encode("<|endoftext|>")).doesNotContain(50256).hasSizeGreaterThan(1);
        assertThat(tokenizer.decode(50256, 15496, 995, 50256)).isEqualTo("Hello world");
        assertThat(tokenizer.vocabSize()).isEqualTo(50257);
    }

    @ParameterizedTest
    @ValueSource(strings = {"bytes", "characters", "gpt2"})
    void everyTextComesBackAlsoThroughTheSpec(String kind) throws Exception {
        Tokenizer tokenizer = Tokenizer.of(
                kind.equals("characters") ? Tokenizer.characters(TEXT).spec() : Map.of("kind", kind));
        assertThat(tokenizer.decode(tokenizer.encode(TEXT))).isEqualTo(TEXT);
        Tokenizer again = Tokenizer.of(tokenizer.spec());
        assertThat(again.encode(TEXT)).isEqualTo(tokenizer.encode(TEXT));
        assertThat(tokenizer.encode(TEXT)).doesNotContain(-1).matches(ids -> java.util.Arrays.stream(ids)
                .allMatch(id -> id >= 0 && id < tokenizer.vocabSize()));
    }

    @Test
    void aForeignVocabularyIsNamed() {
        assertThatThrownBy(() -> Tokenizer.of(Map.of("kind", "words"))).hasMessageContaining("\"words\"");
        assertThatThrownBy(() -> Tokenizer.bytes().checkFits(100))
                .hasMessageContaining("259 ids")
                .hasMessageContaining("V=100");
    }
}
