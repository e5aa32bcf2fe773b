// Bounds of the tree that a page of HTML can give, from its bytes alone. The specification is
// `tamis.kernels.html_reference.html_bounds`.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tamis {

struct HtmlBounds {
  int64_t tags = 0, attributes = 0, depth = 0, formatting = 0;
};

struct HtmlNames {  // sorted packed names, see `packed` below
  const uint64_t *flat, *html, *formatting;
  size_t flats, htmls, formattings;
};

inline bool is_letter(uint8_t c) { return static_cast<uint8_t>((c | 0x20) - 'a') < 26; }

// The first eight bytes of a name, lower case, big-endian, zero-padded; `p` may stand at the end.
inline uint64_t packed(const uint8_t* p, const uint8_t* end) {
  uint64_t key = 0;
  int taken = 0;
  for (; taken < 8 && p + taken < end; ++taken) {
    uint8_t c = p[taken];
    if (is_letter(c)) c |= 0x20;
    else if (static_cast<uint8_t>(c - '0') >= 10 && c != '-') break;
    key = key << 8 | c;
  }
  return taken == 0 ? 0 : key << 8 * (8 - taken);
}

// Pieces between ASCII white space, as Python's bytes.split() counts them.
inline int64_t pieces(const uint8_t* p, const uint8_t* end) {
  int64_t count = 0;
  bool inside = false;
  for (; p < end; ++p) {
    bool space = *p == ' ' || static_cast<uint8_t>(*p - 9) < 5;
    count += !space && !inside;
    inside = !space;
  }
  return count;
}

inline HtmlBounds html_bounds(std::string_view page, const HtmlNames& names, int64_t long_tag, int64_t many) {
  struct Open { int64_t now = 0, most = 0; };
  auto member = [](const uint64_t* keys, size_t size, uint64_t key) { return std::binary_search(keys, keys + size, key); };
  std::unordered_map<uint64_t, Open> open;
  HtmlBounds bounds;
  const auto* begin = reinterpret_cast<const uint8_t*>(page.data());
  const uint8_t* end = begin + page.size();
  const uint8_t* close = nullptr;  // the first '>' at or after the current tag
  for (const uint8_t* p = begin; p < end; ++p) {
    p = static_cast<const uint8_t*>(std::memchr(p, '<', static_cast<size_t>(end - p)));
    if (!p) break;
    ++bounds.tags;
    auto byte = [&](const uint8_t* q) -> uint8_t { return q < end ? *q : 0; };
    bool escaped = byte(p + 1) == '\\' && byte(p + 2) == '/';  // how scripts write an end tag inside a string
    bool closing = escaped || byte(p + 1) == '/';
    const uint8_t* first = p + 1 + closing + escaped;
    if (!is_letter(byte(first))) continue;
    if (!close || close < p) {
      close = static_cast<const uint8_t*>(std::memchr(p, '>', static_cast<size_t>(end - p)));
      if (!close) close = end;
    }
    if (close - p > long_tag) {
      int64_t count = pieces(p, close);
      if (count > many) bounds.attributes += count * count;
    }
    uint64_t key = packed(first, end);
    if (member(names.flat, names.flats, key)) continue;
    if (close[-1] == '/' && !member(names.html, names.htmls, key)) continue;
    Open& element = open[key];
    element.now = std::max<int64_t>(0, element.now + (closing ? -1 : 1));
    element.most = std::max(element.most, element.now);
  }
  for (const auto& [key, element] : open) {
    bounds.depth += element.most;
    if (member(names.formatting, names.formattings, key)) bounds.formatting += element.most;
  }
  return bounds;
}

}  // namespace tamis
