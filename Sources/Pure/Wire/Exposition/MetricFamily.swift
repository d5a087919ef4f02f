/// All samples of one metric, as text format 0.0.4 has them.
public struct MetricFamily: Sendable, Equatable {
  public enum Kind: String, Sendable, CaseIterable {
    case counter, gauge, histogram, summary, untyped
  }

  public var name: String
  public var kind: Kind
  public var help: String
  public var samples: [MetricSample]

  public init(name: String, kind: Kind, help: String = "", samples: [MetricSample] = []) {
    self.name = name
    self.kind = kind
    self.help = help
    self.samples = samples
  }

  /// Names that samples of this family may have: nobody else may use them in the same text.
  public var sampleNames: [String] {
    switch kind {
    case .counter, .gauge, .untyped: [name]
    case .histogram: [name, name + "_bucket", name + "_sum", name + "_count"]
    case .summary: [name, name + "_sum", name + "_count"]
    }
  }
}

/// One value.
public struct MetricSample: Sendable, Equatable {
  /// That of the family, or with an ending: `_bucket`, `_sum`, `_count`.
  public var name: String
  public var labels: [MetricLabel]
  public var value: Double
  /// When it was measured, if its source says so: milliseconds since 1970.
  public var milliseconds: Int64?

  public init(name: String, labels: [MetricLabel] = [], value: Double, milliseconds: Int64? = nil) {
    self.name = name
    self.labels = labels
    self.value = value
    self.milliseconds = milliseconds
  }
}

/// One dimension of a sample.
public struct MetricLabel: Sendable, Hashable {
  public var name: String
  public var value: String

  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

extension MetricSample {
  /// Adds labels of the platform. A label of the sample that is called the same is kept as `exported_NAME`.
  public mutating func relabel(_ added: [MetricLabel]) {
    let taken = Set(added.map(\.name))
    var names = Set(labels.map(\.name)).union(taken)
    for index in labels.indices where taken.contains(labels[index].name) {
      var name = "exported_" + labels[index].name
      while names.contains(name) { name = "exported_" + name }
      names.insert(name)
      labels[index].name = name
    }
    labels = added + labels
  }

  /// Its line of text format 0.0.4.
  public func write(to bytes: inout [UInt8]) {
    bytes += name.utf8
    if !labels.isEmpty {
      bytes.append(UInt8(ascii: "{"))
      for (index, label) in labels.enumerated() {
        if index > 0 { bytes.append(UInt8(ascii: ",")) }
        bytes += label.name.utf8
        bytes += [UInt8(ascii: "="), UInt8(ascii: "\"")]
        ExpositionText.escape(label.value, quotes: true, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
      }
      bytes.append(UInt8(ascii: "}"))
    }
    bytes.append(0x20)
    bytes += ExpositionText.text(value).utf8
    if let milliseconds {
      bytes.append(0x20)
      bytes += "\(milliseconds)".utf8
    }
    bytes.append(0x0a)
  }
}

extension MetricFamily {
  /// Its `# HELP` and `# TYPE` lines.
  public func writeHead(to bytes: inout [UInt8]) {
    if !help.isEmpty {
      bytes += "# HELP \(name) ".utf8
      ExpositionText.escape(help, quotes: false, to: &bytes)
      bytes.append(0x0a)
    }
    bytes += "# TYPE \(name) \(kind.rawValue)\n".utf8
  }
}
