/**
 * A training run from a file and the command line. Begin with {@link org.nanodo.config.TrainRun}. Other models are reached by name
 * only, through {@link org.nanodo.model.ModelFactory}.
 */
package org.nanodo.config;
