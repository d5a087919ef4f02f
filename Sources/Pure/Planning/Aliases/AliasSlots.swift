public import Domain

/// Which of the hundred slots of a sticky alias belongs to which share.
///
/// A request's slot is a hash of what it sticks by, so its share stays while its slot does. When weights change, only as many
/// slots change their owner as the shares that shrink must give away.
public enum AliasSlots {
  public static let count = 100

  /// The slots of `shares` (an index into them each), as near as can be to those that a former assignment gave to nodes.
  /// Weights must sum to 100.
  public static func assign(_ shares: [AliasShare], after former: [NodeID]) -> [Int] {
    var left = shares.map(\.weight)
    var slots = [Int?](repeating: nil, count: count)
    for slot in 0..<min(former.count, count) {
      guard let share = shares.firstIndex(where: { $0.nodeId == former[slot] }), left[share] > 0 else {
        continue
      }
      slots[slot] = share
      left[share] -= 1
    }
    // Freed slots go to those that grow, in turns, so that the order of shares says nothing about who gets which.
    var next = 0
    return slots.map { known in
      if let known { return known }
      for step in 0..<left.count {
        let share = (next + step) % left.count
        guard left[share] > 0 else { continue }
        left[share] -= 1
        next = share + 1
        return share
      }
      return 0
    }
  }
}
