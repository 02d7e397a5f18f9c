/* The C face of cineflow's client, for C, C#, Rust and whatever else calls C.
 *
 * Every function returns a code and fills `error` where that is given (it may be NULL). No
 * exception leaves the library. Handles belong to the caller until the matching ..._close or
 * ..._free. What the functions mean is said in cineflow_client.hpp.
 */
#ifndef CINEFLOW_CLIENT_H
#define CINEFLOW_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#define CFC_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cfc_client cfc_client;
typedef struct cfc_stream cfc_stream;
typedef struct cfc_result cfc_result;

/* The values of cineflow_client::Code, in its order. */
typedef enum cfc_code {
  CFC_OK = 0,
  CFC_CINEFLOW_CLIENT_ERROR,
  CFC_FRAME_REJECTED,
  CFC_FRAME_DROPPED,
  CFC_STREAM_BUSY,
  CFC_SERVER_REFUSED,
  CFC_SERVER_DIED,
  CFC_SERVER_STOPPING,
  CFC_MODEL_UNLOADED,
  CFC_SERVER_BUSY,
  CFC_STREAM_EXPIRED,
  CFC_STREAM_TIMEOUT,
  CFC_STREAM_CLOSED,
  CFC_OTHER_PROCESS,
  CFC_SERVER_UNAVAILABLE,
  CFC_CERTIFICATE_UNUSABLE,
  CFC_MODEL_NOT_FOUND,
  CFC_SHARED_MEMORY_UNAVAILABLE
} cfc_code;

typedef enum cfc_dtype {
  CFC_UINT8 = 0,
  CFC_BOOL,
  CFC_INT32,
  CFC_INT64,
  CFC_FLOAT16,
  CFC_FLOAT32,
  CFC_FLOAT64
} cfc_dtype;

typedef enum cfc_transport { CFC_AUTO = 0, CFC_SHARED_MEMORY, CFC_GRPC } cfc_transport;
typedef enum cfc_policy { CFC_EVERY = 0, CFC_NEWEST, CFC_DEADLINE } cfc_policy;

/* Texts are cut where they are longer. */
typedef struct cfc_error {
  cfc_code code;
  char wanted[512];
  char got[512];
  char remedy[512];
} cfc_error;

/* A view of values, valid as long as the result that it came from. Strides are in bytes. */
typedef struct cfc_tensor {
  const void* data; /* NULL: it is missing */
  cfc_dtype dtype;
  int32_t rank;
  int64_t shape[8];
  int64_t strides[8];
} cfc_tensor;

/* A dense array that is given to a model by its name. */
typedef struct cfc_array {
  const char* name;
  cfc_dtype dtype;
  int32_t rank;
  int64_t shape[8];
  const void* data;
} cfc_array;

/* Certificates are PEM texts or NULL. */
typedef struct cfc_client_options {
  double timeout_s; /* 0: 10 s */
  int32_t tls;      /* 1: with TLS */
  const char* root_certificates;
  const char* certificate_chain;
  const char* private_key;
  const char* secure; /* instead: a folder with ca.crt, client.crt and client.key, or NULL */
} cfc_client_options;

/* Fill with cfc_stream_options_init, then change. */
typedef struct cfc_stream_options {
  int32_t rank; /* 2: [H, W], 3: [D, H, W] */
  int64_t size[3];
  cfc_dtype dtype; /* CFC_UINT8 or CFC_FLOAT32 */
  cfc_transport transport;
  int32_t slots;
  double timeout_s;
  double resume_s;
  cfc_policy policy;
  double deadline_ms;
  const void* state;
  size_t state_bytes;
  int32_t spacing_count;
  double spacing_mm[3];
  const char* readings; /* separated by commas, or NULL */
  double rate, budget_ms;
  const char* traceparent; /* or NULL */
} cfc_stream_options;

/* What comes with a frame. Fill with zeros, then change. */
typedef struct cfc_frame_info {
  int32_t has_index;
  int64_t index;
  int32_t beat; /* 0: there are no triggers; 1: no R wave with this frame; 2: an R wave */
  int32_t has_time;
  double time_ms;
  const cfc_array* given;
  size_t given_count;
} cfc_frame_info;

/* Memory for one frame, to be written in place. */
typedef struct cfc_slot {
  void* data;
  size_t row_stride;
  size_t slice_stride;
  void* inside;
} cfc_slot;

typedef struct cfc_result_info {
  int64_t current, previous, reference, described;
  int32_t repeat;
  int64_t gap_frames;
  int32_t re_referenced;
  int32_t has_quality;
  double quality, expected_error_px;
  int32_t has_beat;
  int64_t beat_number;
  int32_t beat_cause, beat_rhythm;
  double latency_ms;
  int32_t has_captured;
  double captured_ms;
  double sent_s, received_s;       /* of the client's monotonic clock */
  double started_s, computed_s;    /* of the server's */
  double offset_s, offset_error_s; /* the server's less the client's */
  int32_t has_deadline;
  int32_t holds; /* -1: not measured yet */
  double expected_ms, load;
  int64_t late_frames;
} cfc_result_info;

/* "FrameRejected", "ServerBusy", ... */
CFC_API const char* cfc_code_name(cfc_code code);
/* 1 if an error of this kind has ended its stream. */
CFC_API int32_t cfc_ends_stream(cfc_code code);

CFC_API cfc_code cfc_client_open(const char* url, const cfc_client_options* options,
                                 cfc_client** client, cfc_error* error);
/* Closes its streams also; their handles still have to be freed. */
CFC_API void cfc_client_close(cfc_client* client);
/* The spec of a model as JSON. `text` gets at most `room` bytes with a closing 0, `needed` the size
 * that it takes. */
CFC_API cfc_code cfc_client_spec(cfc_client* client, const char* model, char* text, size_t room,
                                 size_t* needed, cfc_error* error);
/* Every model of the server's repository, one line each: its name, a space, its state ("READY";
 * empty: not loaded). Texts as in cfc_client_spec. */
CFC_API cfc_code cfc_client_models(cfc_client* client, char* text, size_t room, size_t* needed,
                                   cfc_error* error);
/* The aliases that are ready, one line each: its name, a space, the model behind it. */
CFC_API cfc_code cfc_client_aliases(cfc_client* client, char* text, size_t room, size_t* needed,
                                    cfc_error* error);
/* Change what is served, for programs of the server's own user on its machine. */
CFC_API cfc_code cfc_client_load(cfc_client* client, const char* model, cfc_error* error);
CFC_API cfc_code cfc_client_unload(cfc_client* client, const char* model, cfc_error* error);
/* `text` gets the name of the model that the alias stands for now. */
CFC_API cfc_code cfc_client_rollback(cfc_client* client, const char* alias, char* text, size_t room,
                                     size_t* needed, cfc_error* error);
/* Run a stateless model. */
CFC_API cfc_code cfc_client_call(cfc_client* client, const char* model, const cfc_array* arrays,
                                 size_t count, cfc_result** result, cfc_error* error);

CFC_API void cfc_stream_options_init(cfc_stream_options* options);
CFC_API cfc_code cfc_stream_open(cfc_client* client, const char* model,
                                 const cfc_stream_options* options, cfc_stream** stream,
                                 cfc_error* error);
/* End a stream, and open one with its settings for frames of another size, after a change of depth
 * or probe. `size` and `spacing_mm` have as many values as a frame has axes; without a spacing it
 * is NULL. The handle of the old stream still has to be closed. */
CFC_API cfc_code cfc_stream_another(cfc_stream* stream, const int64_t* size,
                                    const double* spacing_mm, cfc_stream** another,
                                    cfc_error* error);
/* Ends the stream and frees the handle. Give back every slot before. */
CFC_API void cfc_stream_close(cfc_stream* stream);

/* These four never wait for the network. cfc_acquire allocates nothing after `slots` + 1 calls. */
CFC_API cfc_code cfc_acquire(cfc_stream* stream, double wait_s, cfc_slot* slot);
/* The slot is empty afterwards, also after an error. `frame` gets its number, and may be NULL. */
CFC_API cfc_code cfc_submit(cfc_slot* slot, const cfc_frame_info* info, uint64_t* frame);
CFC_API void cfc_give_back(cfc_slot* slot);
/* Take the oldest outcome, if there is one within `wait_s`. Returns what became of frame `frame`,
 * and CFC_STREAM_BUSY with `frame` UINT64_MAX if it is missing. The result is to be freed. */
CFC_API cfc_code cfc_next(cfc_stream* stream, double wait_s, uint64_t* frame, cfc_result** result,
                          cfc_error* error);
/* Copy a frame, send it, and wait for its result. */
CFC_API cfc_code cfc_push(cfc_stream* stream, const void* pixels, cfc_dtype dtype,
                          const cfc_frame_info* info, cfc_result** result, cfc_error* error);

/* The picture is frozen: the stream keeps its place until the next cfc_submit. */
CFC_API void cfc_stream_freeze(cfc_stream* stream);
CFC_API void cfc_stream_unfreeze(cfc_stream* stream);

/* Results that came later than the declared budget. */
CFC_API uint64_t cfc_stream_late_frames(cfc_stream* stream);
CFC_API uint64_t cfc_stream_resumed(cfc_stream* stream);
CFC_API uint64_t cfc_stream_dropped(cfc_stream* stream);
CFC_API cfc_transport cfc_stream_transport(cfc_stream* stream);
/* Why the stream has ended; CFC_OK while it lives. */
CFC_API cfc_code cfc_stream_error(cfc_stream* stream, cfc_error* error);

CFC_API void cfc_result_info_of(const cfc_result* result, cfc_result_info* info);
/* A reading or an output by its name on the wire: "flow", "points", "labels", "state". */
CFC_API void cfc_result_tensor(const cfc_result* result, const char* name, cfc_tensor* tensor);
/* "px" or "mm", as long as the result lives. */
CFC_API const char* cfc_result_unit(const cfc_result* result);
CFC_API void cfc_result_free(cfc_result* result);

#ifdef __cplusplus
}
#endif

#endif /* CINEFLOW_CLIENT_H */
