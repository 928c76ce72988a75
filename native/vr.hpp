// Value representations and what they tell a reader (PS3.5 section 6.2).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace pixels {

// The two letters as one number; lower case for those that PS3.6 leaves open until other attributes are known.
enum class Vr : std::uint16_t {
  none = 0,
#define PIXELS_VR(name) name = (#name[0] << 8 | #name[1])
  PIXELS_VR(AE), PIXELS_VR(AS), PIXELS_VR(AT), PIXELS_VR(CS), PIXELS_VR(DA), PIXELS_VR(DS), PIXELS_VR(DT),
  PIXELS_VR(FD), PIXELS_VR(FL), PIXELS_VR(IS), PIXELS_VR(LO), PIXELS_VR(LT), PIXELS_VR(OB), PIXELS_VR(OD),
  PIXELS_VR(OF), PIXELS_VR(OL), PIXELS_VR(OV), PIXELS_VR(OW), PIXELS_VR(PN), PIXELS_VR(SH), PIXELS_VR(SL),
  PIXELS_VR(SQ), PIXELS_VR(SS), PIXELS_VR(ST), PIXELS_VR(SV), PIXELS_VR(TM), PIXELS_VR(UC), PIXELS_VR(UI),
  PIXELS_VR(UL), PIXELS_VR(UN), PIXELS_VR(UR), PIXELS_VR(US), PIXELS_VR(UT), PIXELS_VR(UV),
#undef PIXELS_VR
  us_or_ss = 'u' << 8 | 's',
  us_or_ow = 'u' << 8 | 'w',
  ob_or_ow = 'o' << 8 | 'w',
};

// What a value consists of.
enum class ValueKind : std::uint8_t { unknown, text, decimal, integer, person_name, number, tag, binary, sequence };

struct VrTraits {
  Vr vr = Vr::none;
  ValueKind kind = ValueKind::unknown;
  std::uint8_t value_bytes = 0;  // of one value, where it is fixed
  bool long_length = false;      // 32-bit length field after two reserved bytes in explicit VR (PS3.5 7.1.2)

  // Text or numbers.
  bool is_simple() const { return kind >= ValueKind::text && kind <= ValueKind::tag; }
};

constexpr Vr vr_of(std::uint8_t first, std::uint8_t second) { return static_cast<Vr>(first << 8 | second); }

namespace detail {

constexpr std::size_t vr_index(Vr vr) {
  const auto code = static_cast<std::uint16_t>(vr);
  return static_cast<std::size_t>(code >> 8 & 31) << 5 | (code & 31);
}

constexpr std::array<VrTraits, 1024> make_vr_table() {
  std::array<VrTraits, 1024> table{};
  const auto set = [&table](Vr vr, ValueKind kind, std::uint8_t value_bytes = 0, bool long_length = false) {
    table[vr_index(vr)] = {vr, kind, value_bytes, long_length};
  };
  for (Vr vr : {Vr::AE, Vr::AS, Vr::CS, Vr::DA, Vr::DT, Vr::LO, Vr::LT, Vr::SH, Vr::ST, Vr::TM, Vr::UI})
    set(vr, ValueKind::text);
  for (Vr vr : {Vr::UC, Vr::UR, Vr::UT}) set(vr, ValueKind::text, 0, true);
  set(Vr::DS, ValueKind::decimal);
  set(Vr::IS, ValueKind::integer);
  set(Vr::PN, ValueKind::person_name);
  set(Vr::AT, ValueKind::tag, 4);
  for (Vr vr : {Vr::SS, Vr::US}) set(vr, ValueKind::number, 2);
  for (Vr vr : {Vr::FL, Vr::SL, Vr::UL}) set(vr, ValueKind::number, 4);
  set(Vr::FD, ValueKind::number, 8);
  for (Vr vr : {Vr::SV, Vr::UV}) set(vr, ValueKind::number, 8, true);
  for (Vr vr : {Vr::OB, Vr::OD, Vr::OF, Vr::OL, Vr::OV, Vr::OW, Vr::UN}) set(vr, ValueKind::binary, 0, true);
  set(Vr::SQ, ValueKind::sequence, 0, true);
  return table;
}

inline constexpr std::array<VrTraits, 1024> kVrTable = make_vr_table();

}  // namespace detail

inline constexpr VrTraits kNoTraits{};

// Traits of a VR; of kind `unknown` for anything else than the VRs of the standard.
inline const VrTraits& traits_of(Vr vr) {
  const VrTraits& traits = detail::kVrTable[detail::vr_index(vr)];
  return traits.vr == vr ? traits : kNoTraits;
}

}  // namespace pixels
