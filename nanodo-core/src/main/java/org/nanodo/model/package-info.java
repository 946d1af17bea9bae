/**
 * Models, decoding and model files. Begin with {@link org.nanodo.model.DecoderModel}, which is NanoDO's model on one page; {@link
 * org.nanodo.model.LanguageModel} is the interface of all models, and {@link org.nanodo.model.Attention} the only operation that mixes
 * positions. This package knows nothing of training.
 */
package org.nanodo.model;
