/**
 * Other models, {@link org.nanodo.experimental.Llama} and the original {@link org.nanodo.experimental.Gpt2}, and Hugging Face's files.
 * No other package imports this one, which may be deleted.
 */
package org.nanodo.experimental;
