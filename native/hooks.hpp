// What the core leaves to its host: rare character sets and inflating.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "text.hpp"

namespace pixels {

// A hook that could not do its work; the message holds nothing of the value.
class HookError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Hooks {
 public:
  virtual ~Hooks() = default;

  // How text is decoded under a value of Specific Character Set.
  virtual Charset charset(std::string_view specific_character_set) = 0;

  // Text with escape sequences, in a multi-byte character set, or with bytes that the character set lacks, as UTF-8.
  virtual std::string decode(std::string_view text, const Charset& charset) = 0;

  // The data set of a deflated object (PS3.5 A.5).
  virtual std::string inflate(std::string_view deflated) = 0;
};

}  // namespace pixels
