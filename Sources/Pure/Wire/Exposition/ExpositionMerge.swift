/// The metrics of one source, made ready to stand in one text with those of others.
public struct ExpositionPart: Sendable {
  struct Family: Sendable {
    var head: MetricFamily
    var lines: [UInt8]
    var count: Int
  }

  let families: [Family]

  /// `labels` are added to every sample, so that the series of two sources never are the same.
  public init(_ families: [MetricFamily], adding labels: [MetricLabel]) {
    self.families = families.map { family in
      var lines: [UInt8] = []
      for var sample in family.samples {
        sample.relabel(labels)
        sample.write(to: &lines)
      }
      var head = family
      head.samples = []
      return Family(head: head, lines: lines, count: family.samples.count)
    }
  }
}

/// Puts metrics of many sources into one text 0.0.4, each family once with its head.
public struct ExpositionMerge: Sendable {
  private struct Whole: Sendable {
    var head: MetricFamily
    var lines: [UInt8]
  }

  private var families: [Whole] = []
  private var places: [String: Int] = [:]
  private var owners: [String: String] = [:]

  public init() {}

  /// Adds a source; how many of its samples are left out because an earlier source has another type of metric under the name.
  public mutating func add(_ part: ExpositionPart) -> Int {
    var leftOut = 0
    for family in part.families {
      if let place = places[family.head.name], families[place].head.kind == family.head.kind {
        families[place].lines += family.lines
        if families[place].head.help.isEmpty { families[place].head.help = family.head.help }
      } else if family.head.sampleNames.contains(where: { owners[$0] != nil }) {
        leftOut += family.count
      } else {
        places[family.head.name] = families.count
        for name in family.head.sampleNames { owners[name] = family.head.name }
        families.append(Whole(head: family.head, lines: family.lines))
      }
    }
    return leftOut
  }

  /// Content type `text/plain; version=0.0.4`.
  public var text: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(families.reduce(0) { $0 + $1.lines.count + 200 })
    for family in families where !family.lines.isEmpty {
      family.head.writeHead(to: &bytes)
      bytes += family.lines
    }
    return bytes
  }
}
