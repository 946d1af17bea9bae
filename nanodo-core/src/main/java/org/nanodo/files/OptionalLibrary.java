package org.nanodo.files;

/** A library that only some features require. Users who want the feature add it to their own dependencies. */
public enum OptionalLibrary {
    YAML(
            "Reading YAML (unlike JSON)",
            "com.fasterxml.jackson.dataformat:jackson-dataformat-yaml:2.18.4",
            "com.fasterxml.jackson.dataformat.yaml.YAMLMapper"),
    PARQUET(
            "Reading Parquet",
            "com.jerolba:carpet-record:0.5.0",
            "org.apache.parquet.hadoop.ParquetFileReader",
            "org.apache.hadoop.conf.Configuration"),
    TENSORBOARD(
            "Writing files for TensorBoard",
            "com.google.protobuf:protobuf-java:4.36.2",
            "com.google.protobuf.CodedOutputStream"),
    SENTENCEPIECE(
            "A SentencePiece tokenizer",
            "ai.djl.sentencepiece:sentencepiece:0.33.0 and com.google.protobuf:protobuf-java:4.36.2",
            "ai.djl.sentencepiece.SpTokenizer",
            "com.google.protobuf.CodedInputStream"),
    HUGGING_FACE(
            "A Hugging Face tokenizer",
            "ai.djl.huggingface:tokenizers:0.36.0",
            "ai.djl.huggingface.tokenizers.HuggingFaceTokenizer");

    private final String feature;
    private final String artifacts;
    private final String[] classes;

    OptionalLibrary(String feature, String artifacts, String... classes) {
        this.feature = feature;
        this.artifacts = artifacts;
        this.classes = classes;
    }

    /** Returns the Maven coordinates of the artifacts to add, in the versions that are tested. */
    public String artifacts() {
        return artifacts;
    }

    /** @throws IllegalStateException if the library is not on the class path, with a message that says what to add */
    public void require() {
        try {
            for (String name : classes) {
                Class.forName(name, false, OptionalLibrary.class.getClassLoader());
            }
        } catch (ClassNotFoundException | LinkageError e) {
            throw new IllegalStateException(
                    feature + " requires a library that is not on the class path: add " + artifacts
                            + " to your dependencies",
                    e);
        }
    }
}
