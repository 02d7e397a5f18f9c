/* The C face of cineflow's client, for C, C#, Rust and whatever else calls C.
 *
 * Functions return a code. Those with `error` fill it with every code but CFC_OK, and empty it with
 * CFC_OK; it may be NULL. No exception leaves the library. NULL for a handle or for a place that is
 * needed is an error, and does nothing in functions without a code. Handles belong to the caller
 * until the matching ..._close or ..._free. What the functions mean is said in cineflow_client.hpp.
 *
 * A binding that writes the structs of this file in its own language asks cfc_fits(CFC_VERSION)
 * with the version that it was written for, before anything else: until version 1 a minor version
 * may change them. The shared library has that version in its name (libcineflow_client.so.0.1).
 */
#ifndef CINEFLOW_CLIENT_H
#define CINEFLOW_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#define CFC_API __attribute__((visibility("default")))
#define CFC_VERSION 0x000100u /* 0.1.0: major, minor and patch, a byte each */

#ifdef __cplusplus
#define CFC_ENUM : int32_t /* as in C: whatever a caller puts there has a meaning */
extern "C" {
#else
#define CFC_ENUM
#endif

typedef struct cfc_client cfc_client;
typedef struct cfc_stream cfc_stream;
typedef struct cfc_result cfc_result;

/* The values of cineflow_client::Code, in its order. */
typedef enum cfc_code CFC_ENUM {
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

typedef enum cfc_dtype CFC_ENUM {
  CFC_UINT8 = 0,
  CFC_BOOL,
  CFC_INT32,
  CFC_INT64,
  CFC_FLOAT16,
  CFC_FLOAT32,
  CFC_FLOAT64
} cfc_dtype;

typedef enum cfc_transport CFC_ENUM { CFC_AUTO = 0, CFC_SHARED_MEMORY, CFC_GRPC } cfc_transport;
typedef enum cfc_policy CFC_ENUM { CFC_EVERY = 0, CFC_NEWEST, CFC_DEADLINE } cfc_policy;

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

/* Where the server's time went, by its own clock; sums since it started. */
typedef struct cfc_server_times {
  uint64_t requests; /* that succeeded */
  double queue_s, model_s;
} cfc_server_times;

/* Gets what became of frame `frame`, from a thread of the stream, one at a time: CFC_OK and a
 * result, which is then the callee's to free, there or later; or another code, NULL and the error,
 * which is valid until the function returns. It must not wait, nor close the stream or the client.
 */
typedef void (*cfc_on_outcome)(void* user, uint64_t frame, cfc_code code, cfc_result* result,
                               const cfc_error* error);

/* Fill with cfc_stream_options_init, then change. */
typedef struct cfc_stream_options {
  int32_t rank; /* 2: [H, W], 3: [D, H, W] */
  int64_t size[3];
  cfc_dtype dtype; /* CFC_UINT8; CFC_FLOAT32 makes room for floats, and bytes can be sent also */
  cfc_transport transport;
  int32_t slots;
  double timeout_s;
  double resume_s;
  cfc_policy policy;
  double deadline_ms;
  int32_t line; /* frames that may wait with CFC_DEADLINE */
  const void* state;
  size_t state_bytes;
  int32_t spacing_count;
  double spacing_mm[3];
  const char* readings; /* separated by commas, or NULL */
  double rate, budget_ms;
  const char* traceparent;   /* or NULL */
  cfc_on_outcome on_outcome; /* or NULL: cfc_next and cfc_wait have the outcomes */
  void* user;                /* for on_outcome */
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

/* As Result in cineflow_client.hpp. NaN: not measured. */
typedef struct cfc_result_info {
  int64_t current, previous, reference, described;
  int32_t repeat;
  int64_t gap_frames;
  int32_t re_referenced;
  int32_t has_quality;
  double quality, expected_error_px;
  double correlation, photometric_px, deformation;
  double appearance, temporal_px, forward_backward_px;
  double folding_percent;
  int32_t has_beat;
  int64_t beat_number, beat_delay_frames;
  int32_t beat_cause, beat_rhythm; /* Cause and Rhythm of cineflow_client.hpp */
  double beat_drift_px;
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

/* The library's CFC_VERSION. */
CFC_API uint32_t cfc_version(void);
/* 1 if a binding of version `version` can use this library. */
CFC_API int32_t cfc_fits(uint32_t version);
/* "FrameRejected", "ServerBusy", ... */
CFC_API const char* cfc_code_name(cfc_code code);
/* 1 if an error of this kind has ended its stream. */
CFC_API int32_t cfc_ends_stream(cfc_code code);
/* Bytes of a value; 0: no such dtype. */
CFC_API size_t cfc_dtype_bytes(cfc_dtype dtype);

/* Texts that the library writes: `text` gets at most `room` bytes with a closing 0, and may be
 * NULL; `needed` gets the size that it takes, and may be NULL. */

CFC_API cfc_code cfc_client_open(const char* url, const cfc_client_options* options,
                                 cfc_client** client, cfc_error* error);
/* Closes its streams also; their handles still have to be freed. */
CFC_API void cfc_client_close(cfc_client* client);
/* 1 if a server responds and all its models are ready. */
CFC_API int32_t cfc_client_is_ready(cfc_client* client);
/* Triton's version. */
CFC_API cfc_code cfc_client_server_version(cfc_client* client, char* text, size_t room,
                                           size_t* needed, cfc_error* error);
/* The spec of a model as JSON. */
CFC_API cfc_code cfc_client_spec(cfc_client* client, const char* model, char* text, size_t room,
                                 size_t* needed, cfc_error* error);
/* `untrained` gets 1 if the weights of a model are random numbers: its outputs are meaningless. */
CFC_API cfc_code cfc_client_untrained(cfc_client* client, const char* model, int32_t* untrained,
                                      cfc_error* error);
CFC_API cfc_code cfc_client_times(cfc_client* client, const char* model, cfc_server_times* times,
                                  cfc_error* error);
/* Every model of the server's repository, one line each: its name, a space, its state ("READY";
 * empty: not loaded). */
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

/* None of these waits for the network; cfc_acquire and cfc_next wait up to `wait_s`. Frames are
 * sent without an allocation: not by cfc_acquire, by cfc_submit (without `given`) or by
 * cfc_give_back. */
CFC_API cfc_code cfc_acquire(cfc_stream* stream, double wait_s, cfc_slot* slot);
/* For a frame of bytes in a stream that was opened for floats. */
CFC_API cfc_code cfc_acquire_as(cfc_stream* stream, double wait_s, cfc_dtype dtype, cfc_slot* slot);
/* The slot is empty afterwards, also after an error. `frame` gets its number, and may be NULL. */
CFC_API cfc_code cfc_submit(cfc_slot* slot, const cfc_frame_info* info, uint64_t* frame);
CFC_API void cfc_give_back(cfc_slot* slot);
/* Take the oldest outcome that was not taken yet: `frame` gets its frame, and the code is what
 * became of it. `result` is to be freed. If none comes within `wait_s`, `frame` gets UINT64_MAX
 * and the code is what has ended the stream, or CFC_STREAM_BUSY while it lives. */
CFC_API cfc_code cfc_next(cfc_stream* stream, double wait_s, uint64_t* frame, cfc_result** result,
                          cfc_error* error);
/* Wait for the outcome of one frame. It comes, because a late one ends the stream. */
CFC_API cfc_code cfc_wait(cfc_stream* stream, uint64_t frame, cfc_result** result,
                          cfc_error* error);
/* Copy a frame, send it, and wait for its result. Not with on_outcome. */
CFC_API cfc_code cfc_push(cfc_stream* stream, const void* pixels, cfc_dtype dtype,
                          const cfc_frame_info* info, cfc_result** result, cfc_error* error);

/* The picture is frozen: the stream keeps its place until the next cfc_submit. */
CFC_API void cfc_stream_freeze(cfc_stream* stream);
CFC_API void cfc_stream_unfreeze(cfc_stream* stream);

/* 1: the weights of its model are random numbers, and its results are meaningless. */
CFC_API int32_t cfc_stream_untrained(cfc_stream* stream);
/* Its model's name with the hash of the content, as long as the stream lives. */
CFC_API const char* cfc_stream_served_name(cfc_stream* stream);
CFC_API uint64_t cfc_stream_sequence_id(cfc_stream* stream);
/* Results that came later than the declared budget. */
CFC_API uint64_t cfc_stream_late_frames(cfc_stream* stream);
CFC_API uint64_t cfc_stream_resumed(cfc_stream* stream);
CFC_API uint64_t cfc_stream_dropped(cfc_stream* stream);
/* Outcomes that were never taken, and given up. */
CFC_API uint64_t cfc_stream_unread(cfc_stream* stream);
CFC_API cfc_transport cfc_stream_transport(cfc_stream* stream);
/* 1: frames go straight to the model's process. With shared memory, after the first one. */
CFC_API int32_t cfc_stream_direct(cfc_stream* stream);
/* Why CFC_AUTO did not take shared memory; "" if it did. */
CFC_API cfc_code cfc_stream_transport_reason(cfc_stream* stream, char* text, size_t room,
                                             size_t* needed, cfc_error* error);
/* Why the stream has ended; CFC_OK while it lives. */
CFC_API cfc_code cfc_stream_error(cfc_stream* stream, cfc_error* error);

CFC_API void cfc_result_info_of(const cfc_result* result, cfc_result_info* info);
/* A reading or an output by its name on the wire: "flow", "points", "labels", "state". */
CFC_API void cfc_result_tensor(const cfc_result* result, const char* name, cfc_tensor* tensor);
/* All tensors of the result, by their position. `name` lives as long as the result. */
CFC_API size_t cfc_result_tensor_count(const cfc_result* result);
CFC_API void cfc_result_tensor_at(const cfc_result* result, size_t position, const char** name,
                                  cfc_tensor* tensor);
/* Why a reading or an output is not there; "" if it is, or if nothing is known. */
CFC_API cfc_code cfc_result_absent(const cfc_result* result, const char* name, char* text,
                                   size_t room, size_t* needed, cfc_error* error);
/* "px" or "mm"; the runtime that ran the model. As long as the result lives. */
CFC_API const char* cfc_result_unit(const cfc_result* result);
CFC_API const char* cfc_result_engine(const cfc_result* result);
CFC_API void cfc_result_free(cfc_result* result);

#ifdef __cplusplus
}
#endif

#endif /* CINEFLOW_CLIENT_H */
