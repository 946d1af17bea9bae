/**
 * Other models, Llama and the original GPT-2, and the files of Hugging Face. Nothing imports this package, which may be deleted.
 */
package org.nanodo.experimental;
