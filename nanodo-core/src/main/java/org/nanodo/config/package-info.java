/**
 * A training run from a config file and the command line. Begin with {@link org.nanodo.config.TrainRun}. This package knows other models
 * only by name, through {@link org.nanodo.model.ModelFactory}.
 */
package org.nanodo.config;
