// Codes and clients of the C face.
#include "c_face.h"

using namespace c_face;

namespace {

std::string lines_of(const std::map<std::string, std::string>& pairs) {
  std::string lines;
  for (const auto& [name, value] : pairs) lines += name + " " + value + "\n";
  return lines;
}

}  // namespace

uint32_t cfc_version(void) { return CFC_VERSION; }

int32_t cfc_fits(uint32_t version) {
  const auto major = version >> 16, minor = version >> 8 & 255u;
  const auto own_major = CFC_VERSION >> 16, own_minor = CFC_VERSION >> 8 & 255u;
  return major == own_major && (own_major == 0 ? minor == own_minor : minor <= own_minor) ? 1 : 0;
}

const char* cfc_code_name(cfc_code code) { return cfc::name(static_cast<cfc::Code>(code)); }

int32_t cfc_ends_stream(cfc_code code) {
  return cfc::ends_stream(static_cast<cfc::Code>(code)) ? 1 : 0;
}

size_t cfc_dtype_bytes(cfc_dtype dtype) {
  return dtype >= CFC_UINT8 && dtype <= CFC_FLOAT64 ? size_of(static_cast<cfc::DataType>(dtype))
                                                    : 0;
}

// --- Clients -------------------------------------------------------------------------------------

cfc_code cfc_client_open(const char* url, const cfc_client_options* options, cfc_client** client,
                         cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr, "a place for the client");
    *client = nullptr;
    require(url != nullptr, "a url");
    cfc::ClientOptions chosen;
    if (options != nullptr && options->timeout_s != 0) chosen.timeout_s = options->timeout_s;
    if (options != nullptr) chosen.secure = text_or_empty(options->secure);
    if (options != nullptr && options->tls != 0) {
      chosen.tls =
          cfc::Tls{text_or_empty(options->root_certificates),
                   text_or_empty(options->certificate_chain), text_or_empty(options->private_key)};
    }
    *client = new cfc_client{cfc::Client(url, chosen)};
  });
}

void cfc_client_close(cfc_client* client) { delete client; }

int32_t cfc_client_is_ready(cfc_client* client) {
  return client != nullptr && client->client.is_ready() ? 1 : 0;
}

cfc_code cfc_client_server_version(cfc_client* client, char* text, size_t room, size_t* needed,
                                   cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr, "a client");
    put_text(client->client.server_version(), text, room, needed);
  });
}

cfc_code cfc_client_spec(cfc_client* client, const char* model, char* text, size_t room,
                         size_t* needed, cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr && model != nullptr, "a client and a model");
    put_text(client->client.model(model).spec, text, room, needed);
  });
}

cfc_code cfc_client_untrained(cfc_client* client, const char* model, int32_t* untrained,
                              cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr && model != nullptr && untrained != nullptr,
            "a client, a model and a place for the number");
    *untrained = client->client.model(model).untrained ? 1 : 0;
  });
}

cfc_code cfc_client_times(cfc_client* client, const char* model, cfc_server_times* times,
                          cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr && model != nullptr && times != nullptr,
            "a client, a model and a place for the times");
    const cfc::ServerTimes found = client->client.times(model);
    *times = {found.requests, found.queue_s, found.model_s};
  });
}

cfc_code cfc_client_call(cfc_client* client, const char* model, const cfc_array* arrays,
                         size_t count, cfc_result** result, cfc_error* error) {
  return guarded(error, [&] {
    require(result != nullptr, "a place for the result");
    *result = nullptr;
    require(client != nullptr && model != nullptr, "a client and a model");
    *result = new cfc_result{client->client.call(model, arrays_of(arrays, count))};
  });
}

// --- What is served ------------------------------------------------------------------------------

cfc_code cfc_client_models(cfc_client* client, char* text, size_t room, size_t* needed,
                           cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr, "a client");
    put_text(lines_of(client->client.models()), text, room, needed);
  });
}

cfc_code cfc_client_aliases(cfc_client* client, char* text, size_t room, size_t* needed,
                            cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr, "a client");
    put_text(lines_of(client->client.aliases()), text, room, needed);
  });
}

cfc_code cfc_client_load(cfc_client* client, const char* model, cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr && model != nullptr, "a client and a model");
    client->client.load(model);
  });
}

cfc_code cfc_client_unload(cfc_client* client, const char* model, cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr && model != nullptr, "a client and a model");
    client->client.unload(model);
  });
}

cfc_code cfc_client_rollback(cfc_client* client, const char* alias, char* text, size_t room,
                             size_t* needed, cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr && alias != nullptr, "a client and an alias");
    put_text(client->client.rollback(alias), text, room, needed);
  });
}
