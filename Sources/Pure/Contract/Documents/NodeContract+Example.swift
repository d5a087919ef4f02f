internal import Domain
internal import Wire

extension NodeContract {
  /// Bytes that an example may have; values of the checkpoint that do not fit in are left out; those made of types are small.
  public static let exampleLimit = 65_536

  /// A JSON object with a value for each input: the checkpoint's own, else one made of its type.
  ///
  /// - Parameter checkpoint: a JSON object with values of the notebook; those that do not fit the declared type are not used.
  public func exampleInput(from checkpoint: [UInt8]?) -> [UInt8] {
    let members = checkpoint.flatMap { try? JSONMembers.slice($0) } ?? []
    var left = Self.exampleLimit - inputs.reduce(2) { $0 + $1.name.utf8.count + 4 }
    var writer = JSONWriter()
    writer.beginObject()
    for field in inputs {
      writer.key(field.name)
      if let checkpoint, let member = members.first(where: { $0.name == field.name }),
        member.value.count <= left,
        let value = try? JSONValue(parsing: Array(checkpoint[member.value])), field.type.accepts(value)
      {
        // Its own text: a number stays as Python wrote it.
        writer.raw(checkpoint[member.value])
        left -= member.value.count
      } else {
        writer.value(field.type.sample)
      }
    }
    writer.endObject()
    return writer.bytes
  }
}

extension ContractType {
  /// A small value of this type.
  var sample: JSONValue {
    switch self {
    case .object: .object(JSONObject())
    case .text: "text"
    case .integer: 1
    case .number: 1.5
    case .boolean: true
    case .bytes: "AA=="
    case .image: .string(Self.blackPixel)
    case .time: "2026-01-01T00:00:00Z"
    case .any: nil
    case .list(let item): .array(item.map { [$0.sample] } ?? [])
    case .tensor(let tensor): tensor.sample
    case .table(let columns): Self.table(columns)
    }
  }

  /// A PNG of one pixel.
  private static let blackPixel =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="

  private static func table(_ columns: [TableColumn]) -> JSONValue {
    guard !columns.isEmpty else { return ["columns": [], "data": []] }
    return .array([.object(JSONObject(columns.map { (key: $0.name, value: cell($0.dtype)) }))])
  }

  private static func cell(_ dtype: String) -> JSONValue {
    let word = dtype.lowercased()
    if word.hasPrefix("int") || word.hasPrefix("uint") { return 1 }
    if word.hasPrefix("float") { return 1.5 }
    if word.hasPrefix("bool") { return true }
    if word.hasPrefix("datetime") { return "2026-01-01T00:00:00Z" }
    return "text"
  }
}

extension ListItem {
  fileprivate var sample: JSONValue {
    switch self {
    case .integer: 1
    case .number: 1.5
    case .boolean: true
    case .text: "text"
    }
  }
}

extension TensorType {
  /// As many rows of the checkpoint's lengths as make a small value; zeros.
  fileprivate var sample: JSONValue {
    let zero: JSONValue =
      switch element {
      case .bool: false
      case .some(let element) where !element.isFloating: 0
      default: 0.5
      }
    guard var lengths = shape else { return .array([zero]) }
    if !lengths.isEmpty {
      let row = lengths.dropFirst().reduce(1) { $0.multipliedReportingOverflow(by: $1).partialValue }
      guard (0...2048).contains(row) else { return [] }
      lengths[0] = min(lengths[0], max(1, 2048 / max(1, row)))
    }
    return lengths.reversed().reduce(zero) { item, length in .array(Array(repeating: item, count: length)) }
  }
}
