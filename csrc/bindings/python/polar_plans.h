// Polar plans that are kept from call to call.
//
// Problem: a scanner resamples frame after frame around one centre, and locating the samples takes
// a large part of each call. But where the centre moves, a plan for each call would waste time and
// memory.
//
// Solution: the last few plans of an op are kept. A geometry gets a plan in the second consecutive
// call that uses it. A call borrows a plan, and several calls may borrow the same finished one.
//
// Usage:
//   PolarPlans::Loan loan = plans.lend(polar_plan_bytes(args), [&] { return polar_plan_key(args);
//   }); args.plan = loan.plan();
//   // launch the op
//   plans.give_back(std::move(loan));
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cineflow/polar.h"

namespace cineflow::python {

/// The last few plans of one op. A new plan takes over the memory of the least recently used one.
class PolarPlans {
 public:
  /// A plan for one call, or an empty one. A plan that is not yet made belongs to one loan only.
  class Loan {
   public:
    PolarPlan plan() const { return {memory_.get(), made_}; }

   private:
    friend PolarPlans;
    PolarPlanKey key_{};
    std::shared_ptr<void> memory_;
    std::int64_t bytes_ = 0;
    bool made_ = false;
  };

  /// A loan for a call whose plan has `bytes` bytes; `key()` is asked for unless that is 0.
  template <typename Key>
  Loan lend(std::int64_t bytes, const Key& key) {
    Loan loan;
    loan.bytes_ = bytes;
    if (loan.bytes_ == 0) return loan;
    loan.key_ = key();
    const std::lock_guard<std::mutex> lock(mutex_);
    for (std::size_t index = 0; index < made_.size(); ++index) {
      if (made_[index].key_ != loan.key_) continue;
      std::rotate(made_.begin() + index, made_.begin() + index + 1, made_.end());
      return made_.back();
    }
    const bool seen = seen_ == loan.key_;
    seen_ = loan.key_;
    if (seen) loan.memory_ = memory_for(loan.bytes_);
    return loan;
  }

  /// Keeps the plan. Call it after the launch has succeeded.
  void give_back(Loan&& loan) {
    if (loan.made_ || loan.memory_ == nullptr) return;
    loan.made_ = true;
    const std::lock_guard<std::mutex> lock(mutex_);
    made_.push_back(std::move(loan));
    if (made_.size() > kPlans) made_.erase(made_.begin());
  }

 private:
  static constexpr std::size_t kPlans = 4;

  std::shared_ptr<void> memory_for(std::int64_t bytes) {
    if (made_.size() == kPlans && made_.front().bytes_ == bytes &&
        made_.front().memory_.use_count() == 1) {
      std::shared_ptr<void> memory = std::move(made_.front().memory_);
      made_.erase(made_.begin());
      return memory;
    }
    constexpr std::int64_t kAlignment = 64;
    const std::int64_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    // If this fails, the call runs without a plan.
    return {std::aligned_alloc(kAlignment, rounded), &std::free};
  }

  std::mutex mutex_;
  PolarPlanKey seen_{};     // key of the last call that had no plan
  std::vector<Loan> made_;  // the most recently used one is last
};

}  // namespace cineflow::python
