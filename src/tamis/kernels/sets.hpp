// Sets of hashes and graphs of duplicates: no text, no vectors.
#pragma once
#include "text.hpp"

namespace tamis {

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

}  // namespace tamis
