/* The C face: send a moving texture to a model, and print what comes back.
 *
 *   track_clip 127.0.0.1:18003 lucas_kanade
 */
#include <inttypes.h>
#include <stdio.h>

#include "cineflow_client.h"

enum { HEIGHT = 256, WIDTH = 256, FRAMES = 8 };

static int failed(const cfc_error* error) {
  fprintf(stderr, "%s: wanted %s; got %s. %s\n", cfc_code_name(error->code), error->wanted,
          error->got, error->remedy);
  return 1;
}

static void draw(const cfc_slot* slot, int t) {
  for (int y = 0; y < HEIGHT; ++y) {
    unsigned char* row = (unsigned char*)slot->data + (size_t)y * slot->row_stride;
    for (int x = 0; x < WIDTH; ++x) {
      const int wave = (x - t + 3 * y) & 31;
      row[x] = (unsigned char)(8 * (wave < 16 ? wave : 32 - wave));
    }
  }
}

int main(int count, char** arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: %s HOST:PORT MODEL\n", arguments[0]);
    return 2;
  }
  cfc_error error = {0};
  cfc_client* client = NULL;
  if (cfc_client_open(arguments[1], NULL, &client, &error) != CFC_OK) return failed(&error);

  cfc_stream_options options;
  cfc_stream_options_init(&options);
  options.size[0] = HEIGHT;
  options.size[1] = WIDTH;
  cfc_stream* stream = NULL;
  if (cfc_stream_open(client, arguments[2], &options, &stream, &error) != CFC_OK) {
    cfc_client_close(client);
    return failed(&error);
  }

  if (cfc_stream_untrained(stream)) {
    fprintf(stderr,
            "Untrained weights: outputs are meaningless. %s has random numbers for weights.\n",
            cfc_stream_served_name(stream));
  }

  int status = 0;
  for (int t = 0; t < FRAMES && status == 0; ++t) {
    cfc_slot slot;
    cfc_code code = cfc_acquire(stream, 1.0, &slot); /* a live source does not wait */
    if (code == CFC_OK) {
      draw(&slot, t); /* straight into the memory that the server reads */
      code = cfc_submit(&slot, NULL, NULL);
    }
    if (code != CFC_OK) {
      fprintf(stderr, "frame %d: %s\n", t, cfc_code_name(code));
      status = 1;
      break;
    }
    uint64_t frame = 0;
    cfc_result* result = NULL;
    if (cfc_next(stream, 10.0, &frame, &result, &error) != CFC_OK) { /* also if the stream ends */
      status = failed(&error);
      break;
    }
    cfc_result_info info;
    cfc_tensor flow;
    cfc_result_info_of(result, &info);
    cfc_result_tensor(result, "flow", &flow);
    printf("%" PRId64 " -> %" PRId64 ", quality %.2f, flow %" PRId64 "x%" PRId64 "x%" PRId64 "\n",
           info.previous, info.current, info.quality, flow.shape[0], flow.shape[1], flow.shape[2]);
    cfc_result_free(result);
  }
  cfc_stream_close(stream);
  cfc_client_close(client);
  return status;
}
