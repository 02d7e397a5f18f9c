// Codes and clients of the C face.
#include "c_face.h"

using namespace c_face;

namespace {

/// Hand a text over, cut where there is not enough room.
void put_text(const std::string& from, char* text, std::size_t room, std::size_t* needed) {
  if (needed != nullptr) *needed = from.size() + 1;
  if (text == nullptr || room == 0) return;
  const std::size_t count = std::min(from.size(), room - 1);
  std::memcpy(text, from.data(), count);
  text[count] = '\0';
}

std::string lines_of(const std::map<std::string, std::string>& pairs) {
  std::string lines;
  for (const auto& [name, value] : pairs) lines += name + " " + value + "\n";
  return lines;
}

}  // namespace

const char* cfc_code_name(cfc_code code) { return cfc::name(static_cast<cfc::Code>(code)); }

int32_t cfc_ends_stream(cfc_code code) {
  return cfc::ends_stream(static_cast<cfc::Code>(code)) ? 1 : 0;
}

// --- Clients -------------------------------------------------------------------------------------

cfc_code cfc_client_open(const char* url, const cfc_client_options* options, cfc_client** client,
                         cfc_error* error) {
  return guarded(error, [&] {
    require(url != nullptr && client != nullptr, "a url and a place for the client");
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

cfc_code cfc_client_spec(cfc_client* client, const char* model, char* text, size_t room,
                         size_t* needed, cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr && model != nullptr, "a client and a model");
    put_text(client->client.model(model).spec, text, room, needed);
  });
}

cfc_code cfc_client_call(cfc_client* client, const char* model, const cfc_array* arrays,
                         size_t count, cfc_result** result, cfc_error* error) {
  return guarded(error, [&] {
    require(client != nullptr && model != nullptr && result != nullptr, "a client and a model");
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
