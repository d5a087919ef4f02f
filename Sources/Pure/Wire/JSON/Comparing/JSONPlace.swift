/// Places in JSON texts: names of members and numbers of items from the outermost value on, with `*` for any one of them and `**`
/// for any number of them.
///
/// Written with dots (`output.items.*.id`, `**.password`; a leading `$.` means nothing), or, for names with dots in them, as a JSON
/// pointer (RFC 6901: `/output/a.b/0`).
public struct JSONPlace: Sendable, Equatable, CustomStringConvertible {
  enum Step: Sendable, Equatable {
    case name(String)
    case anyOne
    case anyDepth
  }

  /// Steps of one place at most, and places of one list at most: who is compared with many long ones is compared slowly.
  public static let mostSteps = 32

  let steps: [Step]
  public let description: String

  /// Nil for a text without steps, with an empty one, with too many, or with one that is only part of a name and a star.
  public init?(_ text: String) {
    var names: [String]
    if text.hasPrefix("/") {
      names = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(Self.unescaped)
    } else {
      names = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
      if names.first == "$" { names.removeFirst() }
    }
    guard (1...Self.mostSteps).contains(names.count) else { return nil }
    var found: [Step] = []
    for name in names {
      switch name {
      case "": return nil
      case "*": found.append(.anyOne)
      case "**": if found.last != .anyDepth { found.append(.anyDepth) }
      default: found.append(.name(name))
      }
    }
    steps = found
    description = text
  }

  private static func unescaped(_ part: Substring) -> String {
    var text = ""
    var escaped = false
    for character in part {
      if escaped {
        text.append(character == "1" ? "/" : character == "0" ? "~" : character)
        escaped = false
      } else if character == "~" {
        escaped = true
      } else {
        text.append(character)
      }
    }
    return text
  }

  /// Whether it is the place `path`: names of members and numbers of items, the outermost first.
  public func fits(_ path: [String]) -> Bool {
    // Which steps may come next: there are few, and each name is looked at once.
    var open = closure([0])
    for name in path {
      var next: Set<Int> = []
      for at in open where at < steps.count {
        switch steps[at] {
        case .name(let wanted): if wanted == name { next.insert(at + 1) }
        case .anyOne: next.insert(at + 1)
        case .anyDepth: next.insert(at)
        }
      }
      guard !next.isEmpty else { return false }
      open = closure(next)
    }
    return open.contains(steps.count)
  }

  /// `**` may stand for nothing.
  private func closure(_ places: Set<Int>) -> Set<Int> {
    var all = places
    for place in places {
      var at = place
      while at < steps.count, steps[at] == .anyDepth {
        at += 1
        all.insert(at)
      }
    }
    return all
  }

  /// As people read it: `output.items.0.id`.
  public static func text(_ path: [String]) -> String { path.isEmpty ? "$" : path.joined(separator: ".") }
}
