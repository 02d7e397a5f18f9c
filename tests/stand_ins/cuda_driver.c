/* CUDA's driver for one card, whose memory is memory of this process that nobody else can read.

   What is queued on a stream happens when somebody waits for that stream, so work that nobody waits
   for is not done. Calls need a current context, as with the real driver. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kOk = 0, kInvalidValue = 1, kInvalidContext = 201 };
enum { kBlocks = 64, kQueue = 4096 };

struct Block { uint64_t address; size_t size; char* inside; int kind; };
struct Work { uint64_t stream; char* to; const char* from; char* own; size_t size; };

static struct Block blocks[kBlocks];
static int block_count;
static struct Work queue[kQueue];
static int queued;
static int primary, other;  /* their addresses are contexts */
static __thread void* stack[8];
static __thread int depth;

/* For tests: errors to give, and what was done. */
int init_status, wait_status, copy_status;
int copies, retained;
uint64_t copied_bytes, waited_for;

/* Memory of a card. kind 0: of the primary context; 1: of no context, as that of a pool; 2: host
   memory that CUDA knows; 3: of a context that the program made; 4: of no context, on card 1,
   which this process does not get. */
uint64_t card_allocate(size_t size, int kind) {
  int file = memfd_create("card", 0);
  if (ftruncate(file, (off_t)size)) return 0;
  void* address = mmap(0, size, PROT_NONE, MAP_SHARED, file, 0);
  char* inside = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  blocks[block_count++] = (struct Block){(uint64_t)address, size, inside, kind};
  return (uint64_t)address;
}

void card_free_all(void) {
  for (int i = 0; i < block_count; ++i) {
    munmap((void*)blocks[i].address, blocks[i].size);
    munmap(blocks[i].inside, blocks[i].size);
  }
  block_count = queued = init_status = wait_status = copy_status = copies = retained = 0;
  copied_bytes = waited_for = 0;
}

static struct Block* block_of(uint64_t address, size_t size) {
  for (int i = 0; i < block_count; ++i) {
    uint64_t at = address - blocks[i].address;
    if (address >= blocks[i].address && at < blocks[i].size && size <= blocks[i].size - at)
      return &blocks[i];
  }
  return NULL;
}

/* What a kernel of the producer writes, once its stream gets there. */
int card_write(uint64_t stream, uint64_t address, const char* data, size_t size) {
  struct Block* block = block_of(address, size);
  if (!block || queued == kQueue) return kInvalidValue;
  char* own = malloc(size);
  memcpy(own, data, size);
  char* to = block->inside + (address - block->address);
  queue[queued++] = (struct Work){stream, to, own, own, size};
  return kOk;
}

/* The producer of a DLPack array lets one stream wait for another. */
void card_order(uint64_t first, uint64_t then) {
  for (int i = 0; i < queued; ++i)
    if (queue[i].stream == first) queue[i].stream = then;
}

static void run(uint64_t stream, int all) {
  int left = 0;
  for (int i = 0; i < queued; ++i) {
    if (!all && queue[i].stream != stream) {
      queue[left++] = queue[i];
      continue;
    }
    memcpy(queue[i].to, queue[i].from, queue[i].size);
    free(queue[i].own);
  }
  queued = left;
}

int cuInit(unsigned flags) { return flags ? kInvalidValue : init_status; }

int cuGetErrorName(int status, const char** name) {
  *name = status == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS"
          : status == 100 ? "CUDA_ERROR_NO_DEVICE"
          : status == kInvalidContext ? "CUDA_ERROR_INVALID_CONTEXT"
          : status == kInvalidValue ? "CUDA_ERROR_INVALID_VALUE" : NULL;
  return *name ? kOk : kInvalidValue;
}

int cuPointerGetAttribute(void* found, int attribute, uint64_t address) {
  struct Block* block = block_of(address, 1);
  if (!block) return kInvalidValue;
  if (attribute == 9) *(int*)found = block->kind == 4;
  else if (attribute == 2) *(int*)found = block->kind == 2 ? 1 : 2;
  else if (attribute == 1)
    *(void**)found = block->kind == 1 || block->kind == 4 ? NULL
                     : block->kind == 3 ? (void*)&other : (void*)&primary;
  else return kInvalidValue;
  return kOk;
}

int cuDeviceGet(int* device, int ordinal) {
  *device = 100 + ordinal;
  return kOk;
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
  if (device != 100) return 101;
  ++retained;
  *context = &primary;
  return kOk;
}

int cuCtxPushCurrent_v2(void* context) {
  if (context != &primary && context != &other) return kInvalidContext;
  stack[depth++] = context;
  return kOk;
}

int cuCtxPopCurrent_v2(void** context) {
  if (!depth) return kInvalidContext;
  *context = stack[--depth];
  return kOk;
}

int context_depth(void) { return depth; }

int cuCtxSynchronize(void) {
  if (!depth) return kInvalidContext;
  run(0, 1);
  return wait_status;
}

int cuStreamSynchronize(uint64_t stream) {
  if (!depth) return kInvalidContext;
  if (stream != 2) waited_for = stream;
  run(stream, 0);
  return stream == 2 ? kOk : wait_status;
}

static int copy(char* to, uint64_t from, size_t size, uint64_t stream) {
  struct Block* block = block_of(from, size);
  void* owner = block && block->kind == 3 ? (void*)&other : (void*)&primary;
  if (!depth || stack[depth - 1] != owner) return kInvalidContext;
  if (!block || queued == kQueue) return kInvalidValue;
  queue[queued++] = (struct Work){stream, to, block->inside + (from - block->address), NULL, size};
  copied_bytes += size;
  return copy_status;
}

int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t size, uint64_t stream) {
  ++copies;
  return copy(to, from, size, stream);
}

struct Copy2D {
  size_t src_x, src_y; int src_type; const void* src_host; uint64_t src; void* src_array;
  size_t src_pitch, dst_x, dst_y; int dst_type; void* dst_host; uint64_t dst; void* dst_array;
  size_t dst_pitch, width, height;
};

int cuMemcpy2DAsync_v2(const struct Copy2D* what, uint64_t stream) {
  ++copies;
  if (what->src_type != 2 || what->dst_type != 1 || what->src_x || what->src_y || what->dst_x ||
      what->dst_y || what->src_pitch < what->width || what->dst_pitch < what->width)
    return kInvalidValue;
  for (size_t row = 0; row < what->height; ++row) {
    int status = copy((char*)what->dst_host + row * what->dst_pitch,
                      what->src + row * what->src_pitch, what->width, stream);
    if (status) return status;
  }
  return kOk;
}
