/**
 * Numbers by name and step, and their writers. Start with {@link org.nanodo.metrics.Metrics} and
 * {@link org.nanodo.metrics.MetricWriter}. This package knows neither tensors nor training.
 */
package org.nanodo.metrics;
