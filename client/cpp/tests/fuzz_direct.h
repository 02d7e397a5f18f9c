// The part of the fuzzer that is about direct connections.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "messages.h"

/// Returns how many results were read; none: it found a fault. `below` draws a number, `spoiled`
/// changes a text, `use` reads a response and returns whether it was good.
std::optional<int> fuzz_direct(
    int rounds, const std::function<std::size_t(std::size_t)>& below,
    const std::function<std::string(std::string)>& spoiled,
    const std::function<bool(std::unique_ptr<cineflow_client::Response>)>& use);
