/// Times and sizes as people write them.
enum Quantity {
  /// `250ms`, `15s`, `5m`, `1h`, `2d`, `1h30m`; a bare number is seconds.
  static func duration(_ text: String) -> Duration? {
    if let seconds = Double(text) { return positive(seconds) }
    var rest = Substring(text)
    var total = 0.0
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
      rest = rest.dropFirst(digits.count)
      let unit = rest.prefix { $0.isLetter }
      rest = rest.dropFirst(unit.count)
      let scale: Double? = ["ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400][String(unit)]
      guard let value = Double(digits), let scale else { return nil }
      total += value * scale
    }
    return text.isEmpty ? nil : positive(total)
  }

  private static func positive(_ seconds: Double) -> Duration? {
    guard seconds.isFinite, seconds >= 0, seconds < 1e9 else { return nil }
    return .milliseconds(Int64((seconds * 1000).rounded()))
  }

  /// `512MiB`, `2GiB`, `1.5G`, `100MB`; a bare number is bytes.
  static func size(_ text: String) -> Int64? {
    let digits = text.prefix { $0.isASCII && $0.isNumber || $0 == "." }
    guard let value = Double(digits), value.isFinite else { return nil }
    let scales: [String: Double] = [
      "": 1, "b": 1, "kib": 1024, "mib": 1_048_576, "gib": 1_073_741_824, "tib": 1_099_511_627_776, "k": 1024,
      "m": 1_048_576, "g": 1_073_741_824, "t": 1_099_511_627_776, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
    ]
    guard let scale = scales[text.dropFirst(digits.count).lowercased()], value * scale < 9e18 else {
      return nil
    }
    return Int64((value * scale).rounded())
  }

  /// `3s`, `5m`, `2h`, `4d`.
  static func age(_ duration: Duration) -> String {
    let seconds = max(0, duration.components.seconds)
    switch seconds {
    case ..<120: return "\(seconds)s"
    case ..<7200: return "\(seconds / 60)m"
    case ..<172_800: return "\(seconds / 3600)h"
    default: return "\(seconds / 86400)d"
    }
  }

  /// `512 B`, `1.5 KiB`, `2.0 GiB`.
  static func bytes(_ count: Int64) -> String {
    var value = Double(count)
    var unit = 0
    let units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    if unit == 0 { return "\(count) B" }
    let tenths = Int64((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) \(units[unit])"
  }
}

extension Duration {
  var wholeSeconds: Int { Int(components.seconds) }
  var fractionalSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
