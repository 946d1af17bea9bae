/*
 * Stands in for NCCL and the part of the CUDA runtime that NcclCollectives calls, on a machine without a GPU. Ranks are processes that
 * share memory, device pointers are host pointers, a stream is a thread with a queue, and the default stream (0) is the
 * calling thread itself, which is where LibTorch computes tensors on the host.
 *
 * It is stricter than the original where that finds mistakes: a collective needs its stream to have waited for an
 * event since the last one, and ranks that call different things get ncclInvalidUsage instead of a hang.
 *
 * Environment:
 *   NCCL_STAND_IN_DIR       where the file of the shared memory is made (needed)
 *   NCCL_STAND_IN_DELAY_US  how long each launch waits before it starts
 *   NCCL_STAND_IN_FAULT     what goes wrong, and at which of this process's collectives, counted from 1:
 *       error@5   the call returns ncclSystemError
 *       async@5   it hangs, and the communicator reports ncclSystemError
 *       hang@5    it hangs
 *       call@5    the call itself hangs
 *       init@0    no communicator is ever ready
 *     What hangs does so until the communicator is aborted.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorNotReady = 600 };
enum { ncclSuccess = 0, ncclSystemError = 2, ncclInvalidArgument = 4, ncclInvalidUsage = 5 };
enum { ncclInt8, ncclUint8, ncclInt32, ncclUint32, ncclInt64, ncclUint64, ncclFloat16, ncclFloat32, ncclFloat64, ncclBfloat16 };
enum { ncclSum = 0 };
enum { MAX_WORLD = 16, SLOT = 1 << 18 };

static void nap(long micros) {
    struct timespec time = {micros / 1000000, micros % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static int fault(const char *name, int number) {
    char wanted[32];
    const char *set = getenv("NCCL_STAND_IN_FAULT");
    snprintf(wanted, sizeof wanted, "%s@%d", name, number);
    return set != NULL && strcmp(set, wanted) == 0;
}

/* ---- streams and events ---- */

typedef struct Event {
    pthread_mutex_t mutex;
    pthread_cond_t reached;
    long recorded, completed;
} Event;

typedef struct Task {
    void (*run)(struct Task *);
    Event *event;
    long mark;
    void *launch;
    struct Task *next;
} Task;

typedef struct Stream {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    Task *first, **last;
    int idle, closed, waited;
} Stream;

static void complete(Task *task) {
    pthread_mutex_lock(&task->event->mutex);
    if (task->event->completed < task->mark) {
        task->event->completed = task->mark;
    }
    pthread_cond_broadcast(&task->event->reached);
    pthread_mutex_unlock(&task->event->mutex);
}

static void await(Task *task) {
    pthread_mutex_lock(&task->event->mutex);
    while (task->event->completed < task->mark) {
        pthread_cond_wait(&task->event->reached, &task->event->mutex);
    }
    pthread_mutex_unlock(&task->event->mutex);
}

static void *work(void *argument) {
    Stream *stream = argument;
    pthread_mutex_lock(&stream->mutex);
    for (;;) {
        Task *task = stream->first;
        stream->idle = task == NULL;
        if (task == NULL) {
            pthread_cond_broadcast(&stream->changed);
            if (stream->closed) {
                pthread_mutex_unlock(&stream->mutex);
                return NULL;
            }
            pthread_cond_wait(&stream->changed, &stream->mutex);
            continue;
        }
        stream->first = task->next;
        if (stream->first == NULL) {
            stream->last = &stream->first;
        }
        pthread_mutex_unlock(&stream->mutex);
        task->run(task);
        free(task);
        pthread_mutex_lock(&stream->mutex);
    }
}

/* On the default stream things happen at once. */
static void put(Stream *stream, Task task) {
    if (stream == NULL) {
        task.run(&task);
        return;
    }
    Task *copy = malloc(sizeof task);
    *copy = task;
    pthread_mutex_lock(&stream->mutex);
    *stream->last = copy;
    stream->last = &copy->next;
    stream->idle = 0;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
}

int cudaGetDeviceCount(int *count) {
    *count = 0;
    return cudaSuccess;
}

int cudaSetDevice(int device) {
    return device == 0 ? cudaSuccess : cudaErrorInvalidValue;
}

const char *cudaGetErrorString(int error) {
    return error == cudaSuccess ? "no error" : error == cudaErrorNotReady ? "device not ready" : "invalid argument";
}

int cudaStreamCreateWithFlags(Stream **out, unsigned flags) {
    (void)flags;
    Stream *stream = calloc(1, sizeof *stream);
    pthread_mutex_init(&stream->mutex, NULL);
    pthread_cond_init(&stream->changed, NULL);
    stream->last = &stream->first;
    stream->idle = 1;
    pthread_create(&stream->thread, NULL, work, stream);
    *out = stream;
    return cudaSuccess;
}

int cudaStreamSynchronize(Stream *stream) {
    if (stream != NULL) {
        pthread_mutex_lock(&stream->mutex);
        while (!stream->idle) {
            pthread_cond_wait(&stream->changed, &stream->mutex);
        }
        pthread_mutex_unlock(&stream->mutex);
    }
    return cudaSuccess;
}

int cudaStreamDestroy(Stream *stream) {
    pthread_mutex_lock(&stream->mutex);
    stream->closed = 1;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
    pthread_join(stream->thread, NULL);
    free(stream);
    return cudaSuccess;
}

int cudaEventCreateWithFlags(Event **out, unsigned flags) {
    (void)flags;
    *out = calloc(1, sizeof **out);
    pthread_mutex_init(&(*out)->mutex, NULL);
    pthread_cond_init(&(*out)->reached, NULL);
    return cudaSuccess;
}

int cudaEventDestroy(Event *event) {
    free(event);
    return cudaSuccess;
}

int cudaEventRecord(Event *event, Stream *stream) {
    pthread_mutex_lock(&event->mutex);
    long mark = ++event->recorded;
    pthread_mutex_unlock(&event->mutex);
    put(stream, (Task){.run = complete, .event = event, .mark = mark});
    return cudaSuccess;
}

int cudaStreamWaitEvent(Stream *stream, Event *event, unsigned flags) {
    (void)flags;
    pthread_mutex_lock(&event->mutex);
    long mark = event->recorded;
    pthread_mutex_unlock(&event->mutex);
    if (stream != NULL) {
        stream->waited = 1;
    }
    put(stream, (Task){.run = await, .event = event, .mark = mark});
    return cudaSuccess;
}

int cudaEventQuery(Event *event) {
    pthread_mutex_lock(&event->mutex);
    int reached = event->completed >= event->recorded;
    pthread_mutex_unlock(&event->mutex);
    return reached ? cudaSuccess : cudaErrorNotReady;
}

/* ---- communicators ---- */

typedef struct {
    int what, type, root;
    size_t count;
} Header;

typedef struct {
    atomic_int arrived, generation, attached;
    Header headers[MAX_WORLD];
    char slots[][SLOT];
} Shared;

typedef struct Comm {
    int rank, world;
    Shared *shared;
    size_t size;
    atomic_int aborted, async;
    atomic_long pending;
} Comm;

typedef struct {
    char name[128];
} UniqueId;

enum { ALL_GATHER, REDUCE_SCATTER, ALL_REDUCE, BROADCAST };

typedef struct Launch {
    Header header;
    const char *send;
    char *receive;
    Comm *comm;
    Stream *stream;
    int hang;
    long delay;
} Launch;

static const size_t widths[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
static atomic_int calls;

/* How many collectives were called. */
int nccl_stand_in_calls(void) {
    return calls;
}

/* Returns 0 when the communicator was aborted meanwhile. */
static int meet(Comm *comm) {
    Shared *shared = comm->shared;
    int generation = shared->generation;
    if (atomic_fetch_add(&shared->arrived, 1) == comm->world - 1) {
        shared->arrived = 0;
        atomic_fetch_add(&shared->generation, 1);
        return 1;
    }
    for (int turns = 0; shared->generation == generation; turns++) {
        if (comm->aborted) {
            return 0;
        }
        nap(turns < 100 ? 1 : 100);
    }
    return 1;
}

static float from_bfloat16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
}

static uint16_t to_bfloat16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (value != value) {
        return 0x7fc0;
    }
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16); /* to the nearest, ties to even */
}

#define ADD(type) \
    for (size_t i = 0; i < count; i++) { \
        ((type *)sum)[i] += ((const type *)more)[i]; \
    } \
    break

static void add(char *sum, const char *more, size_t count, int type) {
    switch (type) {
        case ncclUint8: ADD(uint8_t);
        case ncclInt32: ADD(int32_t);
        case ncclInt64: ADD(int64_t);
        case ncclFloat32: ADD(float);
        case ncclFloat64: ADD(double);
        case ncclBfloat16:
            for (size_t i = 0; i < count; i++) {
                uint16_t *bits = (uint16_t *)sum + i;
                *bits = to_bfloat16(from_bfloat16(*bits) + from_bfloat16(((const uint16_t *)more)[i]));
            }
    }
}

/* A part of all ranks' slots becomes their sum, in the order of ranks, so that every rank gets the same bits. */
static void add_slots(Comm *comm, char *out, size_t offset, size_t count, int type) {
    memcpy(out, comm->shared->slots[0] + offset, count * widths[type]);
    for (int rank = 1; rank < comm->world; rank++) {
        add(out, comm->shared->slots[rank] + offset, count, type);
    }
}

static int same(const Header *a, const Header *b) {
    return a->what == b->what && a->type == b->type && a->root == b->root && a->count == b->count;
}

static void collective(Launch *launch) {
    Comm *comm = launch->comm;
    Header header = launch->header;
    size_t width = widths[header.type], part = SLOT / width / comm->world;
    char *mine = comm->shared->slots[comm->rank];
    comm->shared->headers[comm->rank] = header;
    if (!meet(comm)) {
        return;
    }
    for (int rank = 0; rank < comm->world; rank++) {
        if (!same(&header, &comm->shared->headers[rank])) {
            comm->async = ncclInvalidUsage;
            return;
        }
    }
    for (size_t done = 0; done < header.count; done += part) {
        size_t count = header.count - done < part ? header.count - done : part;
        size_t bytes = count * width, offset = done * width, whole = header.count * width;
        if (header.what == REDUCE_SCATTER) {
            for (int rank = 0; rank < comm->world; rank++) {
                memcpy(mine + rank * bytes, launch->send + rank * whole + offset, bytes);
            }
        } else if (header.what != BROADCAST || header.root == comm->rank) {
            memcpy(mine, launch->send + offset, bytes);
        }
        if (!meet(comm)) {
            return;
        }
        switch (header.what) {
            case ALL_GATHER:
                for (int rank = 0; rank < comm->world; rank++) {
                    memcpy(launch->receive + rank * whole + offset, comm->shared->slots[rank], bytes);
                }
                break;
            case REDUCE_SCATTER:
                add_slots(comm, launch->receive + offset, comm->rank * bytes, count, header.type);
                break;
            case ALL_REDUCE:
                add_slots(comm, launch->receive + offset, 0, count, header.type);
                break;
            case BROADCAST:
                memcpy(launch->receive + offset, comm->shared->slots[header.root], bytes);
        }
        if (!meet(comm)) {
            return;
        }
    }
    meet(comm); /* all have read the headers */
}

static void run(Task *task) {
    Launch *launch = task->launch;
    nap(launch->delay);
    while (launch->hang && !launch->comm->aborted) {
        nap(1000);
    }
    if (!launch->comm->aborted && launch->comm->async == ncclSuccess) {
        collective(launch);
    }
    while (launch->comm->async != ncclSuccess && !launch->comm->aborted) {
        nap(1000);
    }
    atomic_fetch_sub(&launch->comm->pending, 1);
    free(launch);
}

static int start(Launch *launch) {
    if (!launch->stream->waited) {
        fprintf(stderr, "stand-in: a collective that does not wait for what computes its input\n");
        return ncclInvalidUsage;
    }
    const char *delay = getenv("NCCL_STAND_IN_DELAY_US");
    launch->stream->waited = 0;
    launch->delay = delay == NULL ? 0 : atol(delay);
    atomic_fetch_add(&launch->comm->pending, 1);
    put(launch->stream, (Task){.run = run, .launch = launch});
    return ncclSuccess;
}

static int launch(Comm *comm, Stream *stream, Header header, const void *send, void *receive) {
    int number = atomic_fetch_add(&calls, 1) + 1;
    if (header.type < 0 || header.type > ncclBfloat16 || header.type == ncclFloat16 || header.root < 0
        || header.root >= comm->world) {
        return ncclInvalidArgument;
    }
    if (fault("error", number)) {
        return ncclSystemError;
    }
    if (fault("async", number)) {
        comm->async = ncclSystemError;
    }
    while (fault("call", number) && !comm->aborted) {
        nap(1000);
    }
    Launch *one = calloc(1, sizeof *one);
    *one = (Launch){
        .header = header, .send = send, .receive = receive, .comm = comm, .stream = stream, .hang = fault("hang", number)};
    return start(one);
}

int ncclAllGather(const void *send, void *receive, size_t count, int type, Comm *comm, Stream *stream) {
    return launch(comm, stream, (Header){ALL_GATHER, type, 0, count}, send, receive);
}

int ncclReduceScatter(const void *send, void *receive, size_t count, int type, int op, Comm *comm, Stream *stream) {
    return op != ncclSum ? ncclInvalidArgument : launch(comm, stream, (Header){REDUCE_SCATTER, type, 0, count}, send, receive);
}

int ncclAllReduce(const void *send, void *receive, size_t count, int type, int op, Comm *comm, Stream *stream) {
    return op != ncclSum ? ncclInvalidArgument : launch(comm, stream, (Header){ALL_REDUCE, type, 0, count}, send, receive);
}

int ncclBroadcast(const void *send, void *receive, size_t count, int type, int root, Comm *comm, Stream *stream) {
    return launch(comm, stream, (Header){BROADCAST, type, root, count}, send, receive);
}

int ncclGetUniqueId(UniqueId *id) {
    const char *directory = getenv("NCCL_STAND_IN_DIR");
    memset(id, 0, sizeof *id);
    if (directory == NULL) {
        return ncclSystemError;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int length = snprintf(id->name, sizeof id->name, "%s/shared-%d-%ld", directory, getpid(), now.tv_nsec);
    return length < (int)sizeof id->name ? ncclSuccess : ncclSystemError;
}

int ncclCommInitRank(Comm **out, int world, UniqueId id, int rank) {
    if (world < 1 || world > MAX_WORLD || rank < 0 || rank >= world) {
        return ncclInvalidArgument;
    }
    while (fault("init", 0)) {
        nap(1000);
    }
    size_t size = sizeof(Shared) + (size_t)world * SLOT;
    int file = open(id.name, O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, (off_t)size) != 0) { /* new parts of a file are zero */
        return ncclSystemError;
    }
    Comm *comm = calloc(1, sizeof *comm);
    comm->rank = rank;
    comm->world = world;
    comm->size = size;
    comm->shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (comm->shared == MAP_FAILED) {
        return ncclSystemError;
    }
    atomic_fetch_add(&comm->shared->attached, 1);
    while (comm->shared->attached < world) {
        nap(100);
    }
    unlink(id.name); /* by all: it lives on in their memory */
    *out = comm;
    return ncclSuccess;
}

int ncclCommGetAsyncError(Comm *comm, int *error) {
    *error = comm->async;
    return ncclSuccess;
}

/* The memory of a communicator that was aborted is left to the end of the process. */
int ncclCommAbort(Comm *comm) {
    comm->aborted = 1;
    while (comm->pending > 0) {
        nap(1000);
    }
    return ncclSuccess;
}

int ncclCommDestroy(Comm *comm) {
    while (comm->pending > 0) {
        nap(1000);
    }
    munmap(comm->shared, comm->size);
    free(comm);
    return ncclSuccess;
}

const char *ncclGetErrorString(int result) {
    switch (result) {
        case ncclSuccess: return "no error";
        case ncclSystemError: return "unhandled system error";
        case ncclInvalidArgument: return "invalid argument";
        case ncclInvalidUsage: return "invalid usage";
        default: return "internal error";
    }
}

const char *ncclGetLastError(Comm *comm) {
    (void)comm;
    return "";
}
