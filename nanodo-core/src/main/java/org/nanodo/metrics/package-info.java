/**
 * Numbers by name and step, and where they are written. Begin with {@link org.nanodo.metrics.Metrics} and
 * {@link org.nanodo.metrics.MetricWriter}. Knows neither tensors nor training.
 */
package org.nanodo.metrics;
