// cineflow's client for scanner software: stream frames to a server, and get typed results back.
//
// docs/client.md describes it next to the Python client, docs/protocol.md what it says to the
// server. The C face is cineflow_client.h.
//
// Threads. Client and Stream may be used from any thread. A Slot belongs to one thread at a time.
// Callbacks come from threads of the stream, never two at a time. `close` returns when the last one
// has: hold no lock meanwhile that the callback takes, and do not call it from there.
//
// Real time. `Stream::acquire`, `Slot::submit` and `Stream::poll` never throw, never allocate,
// never wait for the network, and hold one lock for a bounded number of steps (its priority is
// inherited). Everything else reports by throwing `Error`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#define CINEFLOW_CLIENT_API __attribute__((visibility("default")))

namespace cineflow_client {

/// Version of the served contract that this client speaks (docs/protocol.md).
inline constexpr int kContract = 4;
/// The largest index that a frame may be given.
inline constexpr std::int64_t kLastIndex = std::int64_t{1} << 62;

// --- Errors --------------------------------------------------------------------------------------

/// What happened. The names are those of the Python client's classes.
enum class Code {
  kOk = 0,
  kCineflowClientError,      // an argument is wrong
  kFrameRejected,            // the frame is unusable; the stream continues
  kFrameDropped,             // the stream's policy dropped it; the stream continues
  kStreamBusy,               // every slot is in flight, and the frame was not sent
  kServerRefused,            // the server failed on this frame; the stream continues
  kServerDied,               // the connection or the model's process ended
  kServerStopping,           // the server is being stopped
  kModelUnloaded,            // the stream's model was unloaded
  kServerBusy,               // the server has no place for one more stream
  kStreamExpired,            // the server dropped the stream, which was idle
  kStreamTimeout,            // no result in time
  kStreamClosed,             // stream or client was closed before
  kOtherProcess,             // a forked child uses what its parent opened
  kServerUnavailable,        // no server responds, or it is not ready
  kCertificateUnusable,      // a file for TLS is missing or no PEM, or others can read the key
  kModelNotFound,            // it is not served, or is not a cineflow model
  kSharedMemoryUnavailable,  // the server cannot share memory with this process
};

/// "FrameRejected", "ServerBusy", ...
CINEFLOW_CLIENT_API const char* name(Code code) noexcept;

/// Whether an error of this kind has ended its stream.
CINEFLOW_CLIENT_API bool ends_stream(Code code) noexcept;

/// Says what was wanted, what came, and what to do about it.
class CINEFLOW_CLIENT_API Error : public std::exception {
 public:
  Error(Code code, std::string wanted, std::string got, std::string remedy = "");
  const char* what() const noexcept override { return text_.c_str(); }
  Code code() const noexcept { return code_; }
  const std::string& wanted() const noexcept { return wanted_; }
  const std::string& got() const noexcept { return got_; }
  const std::string& remedy() const noexcept { return remedy_; }

 private:
  Code code_;
  std::string wanted_, got_, remedy_, text_;
};

// --- Tensors -------------------------------------------------------------------------------------

enum class DataType { kUint8, kBool, kInt32, kInt64, kFloat16, kFloat32, kFloat64 };

/// "uint8", "float16", ...
CINEFLOW_CLIENT_API const char* name(DataType dtype) noexcept;
/// Bytes of a value.
CINEFLOW_CLIENT_API std::size_t size_of(DataType dtype) noexcept;

inline constexpr int kMostAxes = 8;

/// A view of values that someone else holds.
struct CINEFLOW_CLIENT_API Tensor {
  const void* data = nullptr;  // null: it is missing
  DataType dtype = DataType::kFloat32;
  int rank = 0;
  std::int64_t shape[kMostAxes] = {};
  std::int64_t strides[kMostAxes] = {};  // in bytes

  explicit operator bool() const noexcept { return data != nullptr; }
  std::int64_t count() const noexcept;
  std::size_t byte_size() const noexcept;
  /// Whether the values lie without gaps. Those of a padded frame do not.
  bool is_dense() const noexcept;
  /// Copy the values, dense, to `out`, which has room for `byte_size()`.
  void copy_to(void* out) const noexcept;
};

/// A dense array that is given to a model by its name.
struct Array {
  std::string name;
  DataType dtype = DataType::kFloat32;
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
};

// --- Models and results --------------------------------------------------------------------------

/// What a model's spec says about one of its tensors.
struct TensorInfo {
  std::string name;
  DataType dtype = DataType::kFloat32;
  std::string shape;  // in words: "1, 2, height 64..1024 by 16, width 64..1024 by 16"
  std::string unit, frame, role;
  std::vector<std::string> names;   // classes or points that the values stand for
  std::vector<std::string> places;  // what the values along one axis belong to
};

struct ModelInfo {
  std::string name;         // that was asked for
  std::string served_name;  // with the hash of the content; streams bind to it
  std::string spec;         // the whole spec as JSON
  bool streams = true;      // else it takes calls
  bool untrained = false;   // its weights are random numbers: its outputs are meaningless
  std::string weights;      // where they come from: "seed 0", a file, a paper's checkpoint
  int frame_rank = 2;       // 3 for volumes [D, H, W]
  double idle_timeout_s = 0;
  std::vector<TensorInfo> inputs, outputs;
};

/// How well a pair of frames supports the flow between them. See docs/motion/quality.md.
struct Quality {
  double index, expected_error_px;
  double correlation, photometric_px, deformation;      // NaN without texture
  double appearance, temporal_px, forward_backward_px;  // NaN: not measured
  double folding_percent;
};

enum class Cause { kStart = 0, kTrigger = 1, kMotion = 2, kGap = 3 };
enum class Rhythm { kUnknown = 0, kRegular = 1, kEarly = 2, kLate = 3 };

/// The heart beat that a frame belongs to. See docs/motion/beats.md.
struct BeatInfo {
  std::int64_t number = 0;
  Cause cause = Cause::kStart;
  std::int64_t delay_frames = 0;
  Rhythm rhythm = Rhythm::kUnknown;
  double drift_px = 0;  // NaN: none
};

/// When a frame passed where. Three clocks take part: the application's own (`captured_ms`), the
/// client's monotonic one (`sent_s`, `received_s`) and the server's (`started_s`, `computed_s`).
struct Times {
  std::optional<double> captured_ms;        // as the application gave it (`FrameInfo::time_ms`)
  double sent_s = 0;                        // when the frame was handed over
  double started_s = 0, computed_s = 0;     // start and end of the computation
  double received_s = 0;                    // when the result was there
  double offset_s = 0, offset_error_s = 0;  // server's clock less the client's; wrong by at most

  /// How long the computation took.
  double compute_ms() const noexcept { return 1e3 * (computed_s - started_s); }
  /// What the frame took beyond that: both ways, and the server's queue.
  double travel_ms() const noexcept { return 1e3 * (received_s - sent_s) - compute_ms(); }
};

/// What the server says of the rate and the budget that a stream has declared.
struct Deadline {
  std::optional<bool> holds;     // whether it expects to hold them; none: nothing is measured yet
  double expected_ms = 0;        // the longest that a frame is expected to take at the server
  double load = 0;               // share of the model's time that all live streams take
  std::int64_t late_frames = 0;  // of this stream: later than the budget, so far
};

/// An output of the model, with what its spec says about it.
struct Output {
  const TensorInfo* info = nullptr;
  Tensor values;
};

/// What a stream says about one frame. The views live as long as a copy of the result does.
class CINEFLOW_CLIENT_API Result {
 public:
  std::int64_t current = 0;    // index of this frame
  std::int64_t previous = 0;   // of the frame that the flow starts from
  std::int64_t reference = 0;  // of the frame that the displacement refers to
  std::int64_t described = 0;  // of the frame that the outputs describe
  bool repeat = false;         // this frame is the last one over again
  std::int64_t gap_frames = 0;
  bool re_referenced = false;  // the gap was too long: this frame is the new reference
  std::optional<Quality> quality;
  std::optional<BeatInfo> beat;
  Tensor flow, displacement;  // float32 [n, ...] px, x first
  Tensor points, confidence;  // float32 [K, n] px, x first; [K]
  Tensor lengths, areas;      // float32 in `unit()`
  Tensor strain;              // float32 [3 or 6, ...]
  Tensor state;               // uint8, for a stream that goes on from here
  double latency_ms = 0;      // from `submit` to the arrival
  Times times;
  std::optional<Deadline> deadline;  // none where the stream declared nothing

  std::vector<Output> outputs;
  /// Every tensor of the response under its name on the wire, also those that a later server adds.
  std::vector<std::pair<std::string, Tensor>> tensors;

  /// An output by its name; null if it is not there.
  const Output* output(const std::string& name) const noexcept;
  Tensor tensor(const std::string& name) const noexcept;
  /// "px", or "mm" where the stream knows its spacing.
  const std::string& unit() const noexcept;
  /// The runtime that ran the model.
  const std::string& engine() const noexcept;
  /// Why a reading or an output is not there; "" if nothing is known.
  std::string absent(const std::string& name) const;

  struct Kept;                       // the memory behind the views
  std::shared_ptr<const Kept> kept;  // for the library
};

/// What became of a frame: a result, or an error.
struct Outcome {
  std::uint64_t frame = 0;  // as `Slot::submit` numbered it
  std::shared_ptr<const Result> result;
  std::shared_ptr<const Error> error;

  Code code() const noexcept { return error ? error->code() : Code::kOk; }
};

// --- Streams -------------------------------------------------------------------------------------

enum class Transport { kAuto, kSharedMemory, kGrpc };

/// What becomes of a frame that finds every slot in flight.
enum class Policy {
  kEvery,     // it is refused: `acquire` returns an empty slot
  kNewest,    // it waits, and a newer one takes its place
  kDeadline,  // it waits, and is dropped once it is `deadline_ms` old
};

struct StreamOptions {
  /// Size of every frame, [H, W] or [D, H, W]. A size between two that the model takes is padded
  /// with black below and to the right, and the results are cropped.
  std::vector<std::int64_t> size;
  /// kFloat32 makes room for floats; bytes can then be sent also.
  DataType dtype = DataType::kUint8;
  Transport transport = Transport::kAuto;
  int slots = 4;         // frames in flight
  double timeout_s = 0;  // until a missing result ends the stream; 0: the client's
  double resume_s = 30;  // for which a lost stream is tried again; 0: never
  Policy policy = Policy::kEvery;
  double deadline_ms = 0;             // for the policy kDeadline
  int line = 8;                       // frames that may wait with the policy kDeadline
  std::string state;                  // of another stream's result, to go on from there
  std::vector<double> spacing_mm;     // (row, column) or (slice, row, column)
  std::vector<std::string> readings;  // what comes only on request: "strain", "state"
  /// Frames per second that will come, and the time that a result may take; both or neither. The
  /// server says with each result whether it holds them (`Result::deadline`). It refuses nothing.
  double rate = 0, budget_ms = 0;
  std::string traceparent;  // the trace that the stream belongs to, as W3C writes it
  /// Gets every outcome, from a thread of the stream, which must not be kept waiting. Without it,
  /// outcomes wait for `poll`, `next` or `wait`.
  std::function<void(const Outcome&)> on_outcome;
};

/// What comes with a frame.
struct FrameInfo {
  std::optional<std::int64_t> index;  // must grow; the server counts by default
  std::optional<bool> beat;           // true: an R wave came with it; none: there are no triggers
  std::optional<double> time_ms;      // with every frame of a stream or with none
  const Array* given = nullptr;       // the model's further inputs
  std::size_t given_count = 0;
};

/// A frame somewhere in memory.
struct FrameView {
  const void* data = nullptr;
  DataType dtype = DataType::kUint8;
  std::vector<std::int64_t> size;
};

struct Submitted {
  Code code = Code::kOk;
  std::uint64_t frame = 0;
};

class Live;

/// Memory for one frame, to be written in place. Given back unsent if it is destroyed.
class CINEFLOW_CLIENT_API Slot {
 public:
  Slot() noexcept = default;
  Slot(Slot&& other) noexcept;
  Slot& operator=(Slot&& other) noexcept;
  Slot(const Slot&) = delete;
  ~Slot();

  explicit operator bool() const noexcept { return data_ != nullptr; }
  /// Why it is empty.
  Code code() const noexcept { return code_; }
  void* data() const noexcept { return data_; }
  /// Bytes from one row to the next. More than a row where the width is padded.
  std::size_t row_stride() const noexcept { return row_stride_; }
  /// Bytes from one slice of a volume to the next.
  std::size_t slice_stride() const noexcept { return slice_stride_; }
  /// Send the frame. The slot is empty afterwards, also after an error.
  Submitted submit(const FrameInfo& info = {}) noexcept;

 private:
  friend class Live;
  std::shared_ptr<Live> live_;
  std::shared_ptr<void> frames_;
  int buffer_ = -1;
  DataType dtype_ = DataType::kUint8;
  Code code_ = Code::kStreamClosed;
  void* data_ = nullptr;
  std::size_t row_stride_ = 0, slice_stride_ = 0;
};

/// One sequence of frames of one size. Made by `Client::stream`.
class CINEFLOW_CLIENT_API Stream {
 public:
  explicit Stream(std::shared_ptr<Live> live) noexcept;
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;
  Stream(const Stream&) = delete;
  ~Stream();  // closes

  /// Memory for the next frame; empty with kStreamBusy if nothing comes within `wait_s`.
  Slot acquire(double wait_s = 0) noexcept;
  /// The same for a frame of bytes in a stream that was opened for floats, and the other way round.
  Slot acquire(double wait_s, DataType dtype) noexcept;

  /// Copy a frame into a slot and send it. Throws kFrameRejected and what `acquire` returns.
  std::uint64_t submit(const FrameView& frame, const FrameInfo& info = {}, double wait_s = 0);
  /// Send a frame and wait for its result. Throws what became of it, and kCineflowClientError
  /// before it sends anything in a stream with `on_outcome`.
  std::shared_ptr<const Result> push(const FrameView& frame, const FrameInfo& info = {});

  /// The oldest outcome that was not taken yet; `frame` and code tell; false: nothing was moved.
  bool poll(Outcome* outcome) noexcept;
  /// As `poll`, but waits. Also false once the stream has ended and nothing is left; `error()` is
  /// not null then.
  bool next(Outcome* outcome, double wait_s) noexcept;
  /// Wait for the outcome of one frame. It comes, because a late one ends the stream.
  Outcome wait(std::uint64_t frame);

  /// The picture is frozen: no frames come for a while, and the stream keeps its place, however
  /// long that lasts. The next `submit` ends it. Go on counting as if the frames were lost.
  void freeze() noexcept;
  void unfreeze() noexcept;

  const ModelInfo& model() const noexcept;
  std::uint64_t sequence_id() const noexcept;
  Transport transport() const noexcept;  // kSharedMemory or kGrpc
  /// Whether frames go straight to the model's process: with shared memory, after the first one.
  bool direct() const noexcept;
  std::string transport_reason() const;    // why kAuto did not take shared memory
  std::uint64_t dropped() const noexcept;  // frames that the policy dropped
  std::uint64_t unread() const noexcept;   // outcomes that were never taken, and given up
  /// Frames whose result came later than the declared budget.
  std::uint64_t late_frames() const noexcept;
  std::uint64_t resumed() const noexcept;  // how often it went on in another sequence
  /// Why the stream has ended; null while it lives. kOtherProcess in a forked child, where the
  /// other questions get 0, false, kGrpc and "".
  std::shared_ptr<const Error> error() const noexcept;
  /// End this stream, and open one with its settings for another depth or probe: for frames of
  /// `size`, with a new reference frame. Throws as `Client::stream`; this stream has ended then.
  Stream another(const std::vector<std::int64_t>& size, const std::vector<double>& spacing_mm = {});
  /// End the sequence at the server and release everything. It takes 3 s at most, whatever the
  /// server does, and the time of the callbacks. Safe to call twice, from any threads: the second
  /// one waits for the first. Never throws.
  void close() noexcept;

 private:
  std::shared_ptr<Live> live_;
};

// --- Client --------------------------------------------------------------------------------------

/// Certificates as PEM text. Empty: the system's certificates; no certificate of our own.
struct Tls {
  std::string root_certificates, certificate_chain, private_key;
};

struct ClientOptions {
  double timeout_s = 10;  // until a call without a response fails
  /// For a server with mutual TLS: a folder with ca.crt, client.crt and client.key. A file that
  /// does not do throws kCertificateUnusable.
  std::string secure;
  std::optional<Tls> tls;  // the same as texts
};

/// Where the server's time went, by its own clock; sums since it started.
struct ServerTimes {
  std::uint64_t requests = 0;  // that succeeded
  double queue_s = 0;          // their time in the queue
  double model_s = 0;          // their time in the model, with the copies in and out
};

class Connection;

/// A connection to one server. Nothing is sent before the first call.
class CINEFLOW_CLIENT_API Client {
 public:
  /// `url` is "host:port" of the server's gRPC interface.
  explicit Client(const std::string& url, const ClientOptions& options = {});
  Client(Client&&) noexcept;
  ~Client();

  bool is_ready() noexcept;
  std::string server_version();
  /// Every model of the server's repository and its state ("READY"; empty: not loaded).
  std::map<std::string, std::string> models();
  /// The model behind each alias that is ready.
  std::map<std::string, std::string> aliases();
  /// Throws kModelNotFound, kServerUnavailable. Look at `ModelInfo::untrained` before the outputs
  /// of a model are shown to anybody; a stream has it in `Stream::model()`.
  ModelInfo model(const std::string& name);
  /// Throws kModelNotFound, kServerUnavailable.
  ServerTimes times(const std::string& model);
  Stream stream(const std::string& model, const StreamOptions& options);
  /// Run a stateless model once. The result has outputs only.
  std::shared_ptr<const Result> call(const std::string& model, const std::vector<Array>& arrays);

  // What the server serves, changed while it runs. Only a program of the server's own user on its
  // machine may do that (kServerRefused). Live streams stay with their models.

  /// Load a model of the server's repository, or an alias with the model that it stands for.
  /// Streams of a model that is loaded again go on with their state. Throws kModelNotFound, and
  /// kServerRefused also where it does not load; the old one stays then.
  void load(const std::string& model);
  /// Unload a model, or an alias and the model that it stands for. Its live streams end with
  /// kModelUnloaded, within about a second. Throws as `load`.
  void unload(const std::string& model);
  /// Let an alias stand for the model before; returns that model's name. A second time brings the
  /// present one back. Throws kModelNotFound: there is none before; else as `load`, and the alias
  /// stays as it is.
  std::string rollback(const std::string& alias);

  /// Close every stream, all at the same time, and the connection. Safe to call twice; never
  /// throws.
  void close() noexcept;

 private:
  struct Inside;
  std::shared_ptr<Inside> inside_;
};

// --- Latency -------------------------------------------------------------------------------------

struct LatencySummary {
  std::size_t frames = 0;
  double p50_ms = 0, p95_ms = 0, p99_ms = 0, max_ms = 0;
  std::size_t missed_deadlines = 0;
};

/// Collects one latency per frame; the Python client's LatencyLog says what it means.
class CINEFLOW_CLIENT_API LatencyLog {
 public:
  explicit LatencyLog(double frame_period_ms = 0) : frame_period_ms_(frame_period_ms) {}
  void add(double latency_ms, double waited_ms = 0);
  LatencySummary summary() const;

 private:
  double frame_period_ms_;
  std::vector<double> each_;
  std::size_t missed_ = 0;
};

}  // namespace cineflow_client
