// A queue of a fixed capacity.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace cineflow_client {

/// A queue that never allocates after it was made.
template <typename Item>
class FixedQueue {
 public:
  explicit FixedQueue(std::size_t capacity) : items_(capacity) {}
  bool empty() const noexcept { return size_ == 0; }
  bool full() const noexcept { return size_ == items_.size(); }
  std::size_t size() const noexcept { return size_; }
  Item& at(std::size_t position) noexcept { return items_[(first_ + position) % items_.size()]; }
  void push(Item item) noexcept {
    at(size_) = std::move(item);
    ++size_;
  }
  Item pop() noexcept {
    Item item = std::move(items_[first_]);
    items_[first_] = Item();
    first_ = (first_ + 1) % items_.size();
    --size_;
    return item;
  }
  Item remove(std::size_t position) noexcept {
    Item item = std::move(at(position));
    for (; position > 0; --position) at(position) = std::move(at(position - 1));
    pop();
    return item;
  }

 private:
  std::vector<Item> items_;
  std::size_t first_ = 0, size_ = 0;
};

}  // namespace cineflow_client
