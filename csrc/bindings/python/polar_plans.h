// Polar plans, kept from call to call: a scanner resamples frame after frame around one centre.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cineflow/polar.h"

namespace cineflow::python {

/// The last few plans of one op. A geometry has a plan from the second of its calls on, so that a
/// centre that moves with every call costs no more than a look; a new plan takes over the memory of
/// the one that was used least lately.
class PolarPlans {
 public:
  /// A plan for one call, or none. Nobody else has it while it is not made.
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

  Loan lend(const PolarArgs& args) {
    Loan loan;
    loan.bytes_ = polar_plan_bytes(args);
    if (loan.bytes_ == 0) return loan;
    loan.key_ = polar_plan_key(args);
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

  /// The call with this loan has succeeded.
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
    // Without memory there is no plan; the call goes on without.
    return {std::aligned_alloc(kAlignment, rounded), &std::free};
  }

  std::mutex mutex_;
  PolarPlanKey seen_{};     // of the last call that had no plan
  std::vector<Loan> made_;  // the one used last at the end
};

}  // namespace cineflow::python
