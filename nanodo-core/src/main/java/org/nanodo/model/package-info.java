/**
 * The model: {@link org.nanodo.model.DecoderModel} is NanoDO's, on one page, {@link org.nanodo.model.LanguageModel} is what every model
 * answers, and {@link org.nanodo.model.Attention} is where positions meet. Decoding and the files of models are here too. Knows nothing
 * of training.
 */
package org.nanodo.model;
