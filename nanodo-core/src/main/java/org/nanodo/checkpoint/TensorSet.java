package org.nanodo.checkpoint;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.io.IOException;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.nanodo.files.CorruptFileException;
import org.nanodo.files.Json;
import org.nanodo.files.Manifest;
import org.nanodo.runtime.Device;
import org.nanodo.runtime.Grad;
import org.nanodo.runtime.Scope;
import org.nanodo.runtime.Tensors;

/**
 * A set of named tensors in a directory. One rank writes whole tensors to one file, such as {@code model.safetensors}; several ranks
 * write slices, each to a file such as {@code model.rank-00002-of-00004.safetensors}. Tensors, or any slices of them, are read the
 * same way from both, on any number of ranks.
 *
 * <p>A slice is stored in one dimension. The file's metadata holds, under the tensor's name, the whole shape and the index of the
 * slice's first element: <code>{"shape":[259,32],"start":2072}</code>.
 */
public final class TensorSet implements AutoCloseable {
    private static final String EXTENSION = ".safetensors";

    private final Path path; // for messages
    private final List<Safetensors> files = new ArrayList<>();
    private final Map<String, List<Piece>> pieces = new LinkedHashMap<>();

    /** A slice's position in its tensor, as the metadata holds it. */
    private record Origin(@JsonProperty(required = true) long[] shape, @JsonProperty(required = true) long start) {}

    /** A file with the elements {@code start} to {@code end} of a tensor. */
    private record Piece(Safetensors file, long[] shape, long start, long end) {}

    private TensorSet(Path path) {
        this.path = path;
    }

    static String fileName(String set, int rank, int world) {
        return world == 1
                ? set + EXTENSION
                : String.format(Locale.ROOT, "%s.rank-%05d-of-%05d%s", set, rank, world, EXTENSION);
    }

    /** Returns whether a file belongs to a set by its name. */
    public static boolean isFile(String set, String name) {
        return name.matches(Pattern.quote(set) + "(\\.rank-\\d+-of-\\d+)?" + Pattern.quote(EXTENSION));
    }

    static void write(WritableByteChannel channel, Map<String, Slice> slices) throws IOException {
        var tensors = new LinkedHashMap<String, Tensor>();
        var metadata = new LinkedHashMap<String, String>();
        slices.forEach((name, slice) -> {
            if (slice.isAll()) {
                tensors.put(name, slice.values());
            } else if (slice.values().numel() > 0) { // a rank may hold nothing of a tensor
                tensors.put(name, slice.values());
                metadata.put(name, Json.writeLine(new Origin(slice.shape(), slice.start())));
            }
        });
        Safetensors.write(channel, tensors, metadata);
    }

    /**
     * Opens all files of a set.
     *
     * @throws NoSuchFileException if the directory has no file of this set
     * @throws CorruptFileException if a header is not valid, or slices are missing, overlap or contradict each other
     */
    public static TensorSet open(Path directory, String set) throws IOException {
        List<Path> files =
                files(directory, set).stream().map(directory::resolve).toList();
        var tensors = new TensorSet(files.size() == 1 ? files.get(0) : directory.resolve(set + ".rank-*"));
        try {
            for (Path file : files) {
                tensors.add(file);
            }
            tensors.checkCover();
            return tensors;
        } catch (IOException | RuntimeException e) {
            tensors.close();
            throw e;
        }
    }

    /**
     * Returns the names of a set's files among those that the directory's manifest lists or, without a manifest, among all.
     *
     * @throws NoSuchFileException if the directory has no file of this set
     */
    public static List<String> files(Path directory, String set) throws IOException {
        List<String> files = Manifest.names(directory).stream()
                .filter(name -> isFile(set, name))
                .sorted()
                .toList();
        if (files.isEmpty()) {
            throw new NoSuchFileException(directory + " has no " + set + EXTENSION);
        }
        return files;
    }

    private void add(Path path) throws IOException {
        if (!Files.exists(path)) {
            throw new CorruptFileException(path, "is missing");
        }
        Safetensors file = Safetensors.open(path);
        files.add(file);
        for (String name : file.names()) {
            long[] shape = file.shape(name);
            String origin = file.metadata().get(name);
            List<Piece> others = pieces.computeIfAbsent(name, anyName -> new ArrayList<>());
            if (origin == null) {
                if (others.isEmpty()) { // a whole tensor is the same in all files
                    others.add(new Piece(file, shape, 0, numel(path, name, shape)));
                }
            } else {
                others.add(piece(path, file, name, origin));
            }
        }
    }

    private static Piece piece(Path path, Safetensors file, String name, String json) throws CorruptFileException {
        long length = numel(path, name, file.shape(name));
        Origin origin;
        try {
            origin = Json.read(json, Origin.class);
        } catch (IllegalArgumentException e) {
            throw new CorruptFileException(path, "has no valid position for its slice of \"" + name + "\"", e);
        }
        if (origin.shape == null || origin.start < 0 || origin.start > numel(path, name, origin.shape) - length) {
            throw new CorruptFileException(
                    path, "has a slice of \"" + name + "\" that is not within its tensor: " + json);
        }
        return new Piece(file, origin.shape, origin.start, origin.start + length);
    }

    private static long numel(Path path, String name, long[] shape) throws CorruptFileException {
        try {
            return Slice.numel(shape);
        } catch (ArithmeticException e) {
            throw new CorruptFileException(
                    path, "tensor \"" + name + "\" cannot have the shape " + Arrays.toString(shape), e);
        }
    }

    /** Checks that each tensor's slices agree, and cover it without gap or overlap. */
    private void checkCover() throws IOException {
        for (var tensor : pieces.entrySet()) {
            List<Piece> ordered = tensor.getValue();
            ordered.sort(Comparator.comparingLong(Piece::start).thenComparingLong(Piece::end));
            long[] shape = ordered.get(0).shape;
            ScalarType type = ordered.get(0).file.type(tensor.getKey());
            long end = 0;
            for (Piece piece : ordered) {
                check(
                        Arrays.equals(piece.shape, shape) && piece.file.type(tensor.getKey()) == type,
                        "has slices of \"" + tensor.getKey() + "\" that differ in type or whole shape");
                check(
                        piece.start == end,
                        "has a gap or an overlap in \"" + tensor.getKey() + "\" at element " + end
                                + ": a rank's slices are missing or present twice");
                end = piece.end;
            }
            check(
                    end == numel(path, tensor.getKey(), shape),
                    "lacks elements of \"" + tensor.getKey() + "\" from " + end + " on: a rank's slices are missing");
        }
    }

    private void check(boolean holds, String otherwise) throws CorruptFileException {
        if (!holds) {
            throw new CorruptFileException(path, otherwise);
        }
    }

    public Set<String> names() {
        return Collections.unmodifiableSet(pieces.keySet());
    }

    /** Returns the whole tensor's shape. */
    public long[] shape(String name) throws CorruptFileException {
        return pieces(name).get(0).shape.clone();
    }

    public ScalarType type(String name) throws CorruptFileException {
        return pieces(name).get(0).file.type(name);
    }

    /** Reads a whole tensor. */
    public Tensor read(String name, Device device) throws IOException {
        try (var scope = Scope.open()) {
            Tensor host = Tensors.empty(Device.cpu(), type(name), shape(name));
            readInto(name, Slice.all(host));
            return scope.export(Tensors.to(host, device));
        }
    }

    /** @throws CorruptFileException unless there is a tensor of this name with the target's type and whole shape */
    public void require(String name, Slice target) throws CorruptFileException {
        ScalarType type = Tensors.type(target.values());
        check(
                type(name) == type && Arrays.equals(shape(name), target.shape()),
                "tensor \"" + name + "\" is " + describe(type(name), shape(name)) + ", but must be "
                        + describe(type, target.shape()));
    }

    private static String describe(ScalarType type, long[] shape) {
        return type.name() + Arrays.toString(shape);
    }

    /** Reads the target's elements, from whatever files hold them, into its values. */
    public void readInto(String name, Slice target) throws IOException {
        require(name, target);
        try (var scope = Scope.open();
                var off = Grad.off()) {
            Tensor flat = target.values().detach().view(-1);
            long targetEnd = target.start() + flat.numel();
            for (Piece piece : pieces(name)) {
                long from = Math.max(piece.start, target.start());
                long to = Math.min(piece.end, targetEnd);
                if (from < to) {
                    piece.file.readInto(name, from - piece.start, flat.narrow(0, from - target.start(), to - from));
                }
            }
        }
    }

    private List<Piece> pieces(String name) throws CorruptFileException {
        List<Piece> found = pieces.get(name);
        check(found != null, "has no tensor \"" + name + "\"");
        return found;
    }

    @Override
    public void close() throws IOException {
        for (Safetensors file : files) {
            file.close();
        }
    }
}
