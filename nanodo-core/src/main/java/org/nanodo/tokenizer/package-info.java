/**
 * Tokenizers, which convert text to token ids and back. Begin with {@link org.nanodo.tokenizer.Tokenizer}. This package knows neither
 * where texts come from nor how tokens are packed.
 */
package org.nanodo.tokenizer;
