// Sets of hashes and graphs of duplicates: no text, no vectors.
#pragma once
#include "text.hpp"

namespace tamis {

// Sorts hashes, which are spread evenly over 64 bits: one counting pass on the top bits leaves groups of a few, which
// insertion sort finishes. Any other numbers are sorted too, only slower.
inline void sort_hashes(std::vector<u64>& values, std::vector<u64>& scratch, std::vector<u32>& begins) {
  size_t count = values.size();
  if (count < 128) return std::sort(values.begin(), values.end());
  u32 bits = std::min(16u, 62u - static_cast<u32>(__builtin_clzll(count)));  // groups of 2 to 4 up to 2^17
  begins.assign((size_t(1) << bits) + 1, 0);
  for (u64 v : values) ++begins[(v >> (64 - bits)) + 1];
  for (size_t i = 1; i < begins.size(); ++i) begins[i] += begins[i - 1];
  scratch.resize(count);
  for (u64 v : values) scratch[begins[v >> (64 - bits)]++] = v;  // then begins[g] is the end of group g
  values.swap(scratch);
  size_t from = 0;
  for (size_t g = 0; g + 1 < begins.size(); ++g) {
    size_t to = begins[g];
    if (to - from > 32) {
      std::sort(values.begin() + static_cast<i64>(from), values.begin() + static_cast<i64>(to));
    } else {
      for (size_t i = from + 1; i < to; ++i) {
        u64 v = values[i];
        size_t j = i;
        for (; j > from && values[j - 1] > v; --j) values[j] = values[j - 1];
        values[j] = v;
      }
    }
    from = to;
  }
}

// Size of the intersection of two sorted sets. Without branches on the order, which is a coin toss between hashes.
inline i64 overlap(const u64* a, const u64* a_end, const u64* b, const u64* b_end) {
  i64 common = 0;
  while (a < a_end && b < b_end) {
    u64 x = *a, y = *b;
    common += x == y;
    a += x <= y;
    b += y <= x;
  }
  return common;
}

// Connected components by union-find with path halving. A root is always the smallest node of its component, since
// the larger root is hung below the smaller.
inline void components(const u64* left, const u64* right, size_t edges, std::vector<u64>& nodes,
                       std::vector<u64>& root) {
  nodes.assign(left, left + edges);
  nodes.insert(nodes.end(), right, right + edges);
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  std::vector<size_t> parent(nodes.size());
  for (size_t i = 0; i < parent.size(); ++i) parent[i] = i;
  auto find = [&](u64 node) {
    size_t i = static_cast<size_t>(std::lower_bound(nodes.begin(), nodes.end(), node) - nodes.begin());
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  };
  for (size_t e = 0; e < edges; ++e) {
    size_t a = find(left[e]), b = find(right[e]);
    if (a < b)
      parent[b] = a;
    else
      parent[a] = b;
  }
  root.resize(nodes.size());
  // parents are smaller than their children, so they are done first
  for (size_t i = 0; i < nodes.size(); ++i) {
    parent[i] = parent[parent[i]];
    root[i] = nodes[parent[i]];
  }
}

// The hash that a model gives the n-gram of the tokens between single spaces, taken as they are.
inline u64 joined_gram_hash(const u8* begin, const u8* end) {
  u64 sum = 0;
  for (const u8* from = begin;;) {
    const void* found = from < end ? memchr(from, ' ', static_cast<size_t>(end - from)) : nullptr;
    const u8* to = found ? static_cast<const u8*>(found) : end;
    sum = sum * P1 + word_hash(from, static_cast<size_t>(to - from), end);
    if (!found) return avalanche(sum);
    from = to + 1;
  }
}

}  // namespace tamis
