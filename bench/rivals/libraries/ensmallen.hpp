// What mlpack's headers name of ensmallen, its library of optimisers, which is not used here.
#pragma once

namespace ens {
struct RMSProp {};
struct GridSearch {};
namespace traits {
template <typename>
struct HasMaxIterationsSignature {
    static const bool value = false;
};
}  // namespace traits
}  // namespace ens
