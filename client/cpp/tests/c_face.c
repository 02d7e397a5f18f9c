/* What the C face does beyond the example track_clip.c. tests/client_cpp runs it:
 *
 *   c_face HOST:PORT ALIAS
 *
 * The server's models can change. Prints a line for each step.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cineflow_client.h"

enum { ROOM = 4096, LARGEST = 128 * 160 };

static cfc_error error;
static char text[ROOM];

static void report(const char* step, cfc_code code) {
  printf("%s %s\n", step, cfc_code_name(code));
  if (code != CFC_OK && code != error.code) printf("error has another code\n");
}

/* Push a frame of `height` x `width`; print its size, and the unit. */
static void push(cfc_stream* stream, int height, int width) {
  static unsigned char pixels[LARGEST];
  for (int k = 0; k < height * width; ++k) pixels[k] = (unsigned char)(k * 31 % 251);
  cfc_result* result = NULL;
  const cfc_code code = cfc_push(stream, pixels, CFC_UINT8, NULL, &result, &error);
  report("push", code);
  if (code != CFC_OK) return;
  cfc_tensor flow;
  cfc_result_tensor(result, "displacement", &flow);
  printf("displacement %" PRId64 "x%" PRId64 " %s\n", flow.shape[1], flow.shape[2],
         cfc_result_unit(result));
  cfc_result_free(result);
}

static void streams(cfc_client* client, const char* alias) {
  cfc_stream_options options;
  cfc_stream_options_init(&options);
  options.size[0] = 128;
  options.size[1] = 160;
  cfc_stream *stream = NULL, *other = NULL, *none = NULL;
  report("open", cfc_stream_open(client, alias, &options, &stream, &error));
  push(stream, 128, 160);
  const int64_t size[2] = {64, 80};
  const double spacing_mm[2] = {0.3, 0.3};
  report("another", cfc_stream_another(stream, size, spacing_mm, &other, &error));
  report("ended", cfc_stream_error(stream, &error));
  push(other, 64, 80);
  report("unload", cfc_client_unload(client, alias, &error));
  static unsigned char pixels[64 * 80];
  cfc_code code = CFC_OK;
  for (const time_t end = time(NULL) + 15; code == CFC_OK && time(NULL) < end;) {
    cfc_result* result = NULL; /* the stream learns it within about a second */
    code = cfc_push(other, pixels, CFC_UINT8, NULL, &result, &error);
    cfc_result_free(result);
  }
  report("push", code);
  report("another", cfc_stream_another(other, size, NULL, &none, &error));
  cfc_stream_close(other);
  cfc_stream_close(stream);
}

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const char* alias = arguments[2];
  cfc_client* client = NULL;
  if (cfc_client_open(arguments[1], NULL, &client, &error) != CFC_OK) return 1;
  size_t needed = 0;
  report("aliases", cfc_client_aliases(client, text, sizeof(text), &needed, &error));
  printf("%zu %s", needed - strlen(text), text);
  report("models", cfc_client_models(client, text, 4, &needed, &error));
  printf("%d %zu\n", needed > 4, strlen(text));
  streams(client, alias);
  report("load", cfc_client_load(client, alias, &error));
  report("load", cfc_client_load(client, "no_such_model", &error));
  report("rollback", cfc_client_rollback(client, "no_such_model", text, ROOM, NULL, &error));
  printf("%s\n", error.wanted);
  report("load", cfc_client_load(client, NULL, &error));
  cfc_client_close(client);
  return 0;
}
