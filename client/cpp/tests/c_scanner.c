/* A scanner's program in C: errors, wrong arguments, callbacks, and what a result says.
 * tests/client_cpp/test_c_face.py runs it:
 *
 *   c_scanner HOST:PORT MODEL
 *
 * Prints a line for each step.
 */
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cineflow_client.h"

enum { HEIGHT = 64, WIDTH = 80, FRAMES = 6, ROOM = 4096 };

static cfc_error error;
static char text[ROOM];

/* Each step finds the error of another one, and has to replace it. */
static void stain(void) {
  memset(&error, 'x', sizeof(error));
  error.wanted[511] = error.got[511] = error.remedy[511] = '\0';
}

static void report(const char* step, cfc_code code) {
  const int filled = code == error.code && error.wanted[0] != 'x' && error.got[0] != 'x' &&
                     error.remedy[0] != 'x' && (code != CFC_OK) == (error.wanted[0] != '\0');
  printf("%s %s%s\n", step, cfc_code_name(code), filled ? "" : ", and the error is stale");
  stain();
}

static void draw(const cfc_slot* slot, int t, int floats) {
  for (int y = 0; y < HEIGHT; ++y) {
    unsigned char* row = (unsigned char*)slot->data + (size_t)y * slot->row_stride;
    for (int x = 0; x < WIDTH; ++x) {
      const int wave = (x - t + 3 * y) & 31, grey = 8 * (wave < 16 ? wave : 32 - wave);
      if (floats) {
        ((float*)row)[x] = (float)grey;
      } else {
        row[x] = (unsigned char)grey;
      }
    }
  }
}

static cfc_stream_options options_of(void) {
  cfc_stream_options options;
  cfc_stream_options_init(&options);
  options.size[0] = HEIGHT;
  options.size[1] = WIDTH;
  return options;
}

static void wrong_arguments(cfc_client* client, const char* model) {
  cfc_stream* stream = NULL;
  cfc_result* result = NULL;
  uint64_t frame = 0;
  report("open without options", cfc_stream_open(client, model, NULL, &stream, &error));
  cfc_stream_options options = options_of();
  options.dtype = (cfc_dtype)99;
  report("open with dtype 99", cfc_stream_open(client, model, &options, &stream, &error));
  options = options_of();
  options.policy = (cfc_policy)-1;
  report("open with policy -1", cfc_stream_open(client, model, &options, &stream, &error));
  options = options_of();
  options.transport = (cfc_transport)3;
  report("open with transport 3", cfc_stream_open(client, model, &options, &stream, &error));
  report("next without a stream", cfc_next(NULL, 0, &frame, &result, &error));
  report("error without a stream", cfc_stream_error(NULL, &error));
  const double number = 1;
  const cfc_array array = {"queries", (cfc_dtype)99, 1, {1}, &number};
  report("call with dtype 99", cfc_client_call(client, model, &array, 1, &result, &error));
  report("times of no model", cfc_client_times(client, "no_such_model", NULL, &error));
  cfc_server_times times;
  report("times of no model", cfc_client_times(client, "no_such_model", &times, &error));
  cfc_stream_freeze(NULL);
  cfc_result_info info;
  cfc_result_info_of(NULL, &info);
  cfc_tensor tensor;
  cfc_result_tensor(NULL, "flow", &tensor);
  printf("nothing: %d %" PRIu64 " %d '%s'\n", info.has_quality, cfc_stream_dropped(NULL),
         tensor.data == NULL, cfc_result_unit(NULL));
}

static void polled(cfc_client* client, const char* model) {
  cfc_stream_options options = options_of();
  options.dtype = CFC_FLOAT32;
  options.readings = "strain";
  options.transport = CFC_GRPC;
  cfc_stream* stream = NULL;
  report("open", cfc_stream_open(client, model, &options, &stream, &error));
  cfc_result* result = NULL;
  uint64_t frame = 0, number = 0;
  report("next, nothing sent", cfc_next(stream, 0, &frame, &result, &error));
  printf("frame %d\n", frame == UINT64_MAX);
  report("alive", cfc_stream_error(stream, &error));
  cfc_slot slot;
  for (int t = 0; t < 2; ++t) { /* bytes, then floats */
    const cfc_dtype dtype = t == 0 ? CFC_UINT8 : CFC_FLOAT32;
    if (cfc_acquire_as(stream, 1, dtype, &slot) != CFC_OK) return;
    draw(&slot, t, t);
    if (cfc_submit(&slot, NULL, &number) != CFC_OK) return;
    report("wait", cfc_wait(stream, number, &result, &error));
    if (t == 0) cfc_result_free(result);
  }
  printf("acquire as 99: %s\n", cfc_code_name(cfc_acquire_as(stream, 0, (cfc_dtype)99, &slot)));
  cfc_frame_info info = {0};
  info.beat = 7;
  if (cfc_acquire(stream, 1, &slot) == CFC_OK) {
    printf("submit with beat 7: %s\n", cfc_code_name(cfc_submit(&slot, &info, &frame)));
  }
  cfc_result_info found;
  cfc_result_info_of(result, &found);
  printf("%" PRId64 " -> %" PRId64 ", parts %d\n", found.previous, found.current,
         found.correlation > 0 && found.photometric_px >= 0 && found.folding_percent >= 0);
  cfc_tensor strain;
  cfc_result_tensor(result, "strain", &strain);
  printf("strain %" PRId64 "x%" PRId64 "x%" PRId64 "\n", strain.shape[0], strain.shape[1],
         strain.shape[2]);
  int named = 0;
  for (size_t k = 0; k < cfc_result_tensor_count(result); ++k) {
    const char* name = NULL;
    cfc_tensor by_position, by_name;
    cfc_result_tensor_at(result, k, &name, &by_position);
    cfc_result_tensor(result, name, &by_name);
    named += by_position.data == by_name.data;
    if (strcmp(name, "flow") == 0)
      printf("flow of %zu bytes each\n", cfc_dtype_bytes(by_name.dtype));
  }
  printf("tensors %d\n", named == (int)cfc_result_tensor_count(result) && named > 5);
  report("absent", cfc_result_absent(result, "points", text, ROOM, NULL, &error));
  printf("%s\n", text);
  printf("engine %s, unit %s\n", cfc_result_engine(result), cfc_result_unit(result));
  report("reason", cfc_stream_transport_reason(stream, text, ROOM, NULL, &error));
  printf("unread %" PRIu64 ", %s\n", cfc_stream_unread(stream), cfc_stream_served_name(stream));
  cfc_result_free(result);
  report("wait again", cfc_wait(stream, number, &result, &error));
  int32_t untrained = -1;
  report("untrained", cfc_client_untrained(client, model, &untrained, &error));
  cfc_server_times times = {0};
  report("times", cfc_client_times(client, cfc_stream_served_name(stream), &times, &error));
  printf("untrained %d %d, times %d\n", untrained, cfc_stream_untrained(stream),
         times.requests >= 2 && times.model_s > 0);
  cfc_stream_close(stream);
}

struct received {
  pthread_mutex_t lock;
  pthread_cond_t more;
  int results, errors, last_code;
  int64_t current;
};

static void receive(void* user, uint64_t frame, cfc_code code, cfc_result* result,
                    const cfc_error* why) {
  struct received* received = user;
  pthread_mutex_lock(&received->lock);
  if (code == CFC_OK) {
    cfc_result_info info;
    cfc_result_info_of(result, &info);
    received->current = info.current;
    received->results += frame == (uint64_t)info.current;
  } else {
    received->errors += result == NULL && why->code == code && why->wanted[0] != '\0';
  }
  received->last_code = code;
  pthread_cond_signal(&received->more);
  pthread_mutex_unlock(&received->lock);
  cfc_result_free(result);
}

static void called_back(cfc_client* client, const char* model) {
  struct received received = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0};
  cfc_stream_options options = options_of();
  options.dtype = CFC_FLOAT32;
  options.on_outcome = receive;
  options.user = &received;
  cfc_stream* stream = NULL;
  report("open with a callback", cfc_stream_open(client, model, &options, &stream, &error));
  for (int t = 0; t <= FRAMES; ++t) {
    cfc_slot slot;
    if (cfc_acquire(stream, 10, &slot) != CFC_OK) return;
    draw(&slot, t, 1);
    if (t == FRAMES) *(float*)slot.data = NAN; /* the server never sees it */
    if (cfc_submit(&slot, NULL, NULL) != CFC_OK) return;
  }
  pthread_mutex_lock(&received.lock);
  while (received.results + received.errors <= FRAMES) {
    pthread_cond_wait(&received.more, &received.lock);
  }
  printf("results %d, errors %d\n", received.results, received.errors);
  pthread_mutex_unlock(&received.lock);
  for (int k = 0; k < 500 && cfc_stream_direct(stream) == 0; ++k) {  // it begins by itself
    const struct timespec pause = {0, 10000000};
    nanosleep(&pause, NULL);
  }
  printf("direct %d %d\n", cfc_stream_direct(stream), cfc_stream_direct(NULL));
  cfc_result* result = NULL;
  uint64_t frame = 0;
  report("next with a callback", cfc_next(stream, 0, &frame, &result, &error));
  cfc_client_close(client);
  report("next of what has ended", cfc_next(stream, 10, &frame, &result, &error));
  report("ended", cfc_stream_error(stream, &error));
  cfc_stream_close(stream);
}

int main(int count, char** arguments) {
  if (count != 3) return 2;
  cfc_client* client = NULL;
  stain();
  printf("fits %d %d %d\n", cfc_fits(CFC_VERSION), cfc_fits(cfc_version()),
         cfc_fits(CFC_VERSION + 0x100));
  report("open without a url", cfc_client_open(NULL, NULL, &client, &error));
  report("open", cfc_client_open(arguments[1], NULL, &client, &error));
  report("version", cfc_client_server_version(client, text, ROOM, NULL, &error));
  printf("ready %d\n", cfc_client_is_ready(client) && text[0] == '2');
  wrong_arguments(client, arguments[2]);
  polled(client, arguments[2]);
  called_back(client, arguments[2]);
  return 0;
}
