package org.nanodo.data;

import java.io.IOException;

/** What a {@link PackedDataset} packs: documents by number, as texts or as tokens. */
public sealed interface DocumentSource permits TextSource, TokenSource {
    int size();

    /** What a message would call a document: its path, say. */
    String name(int index);

    /** Tells one corpus from another. */
    String fingerprint() throws IOException;
}
