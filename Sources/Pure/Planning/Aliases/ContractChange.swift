public import Domain

/// A difference between the APIs of two nodes that some callers of the first one would notice.
public struct ContractChange: Sendable, Hashable, CustomStringConvertible {
  public enum Kind: String, Sendable, CaseIterable {
    /// Callers don't send it yet.
    case newInput
    /// Requests that send it are refused.
    case removedInput
    /// Values that were taken are refused, or lose something.
    case narrowedInput
    case removedOutput
    /// Values come that could not come before.
    case widenedOutput
    /// Fields of typed messages have other numbers or types.
    case movedField
    /// Requests for it are refused.
    case removedModel
    /// There was one, so that requests need not name it.
    case addedModel
  }

  public var kind: Kind
  /// `inputs.x`, `outputs.table.price`.
  public var path: String
  public var message: String

  public init(_ kind: Kind, _ path: String, _ message: String) {
    self.kind = kind
    self.path = path
    self.message = message
  }

  public var description: String { "\(path): \(message)" }

  /// What breaks for callers who know the cell of `old` when `new` answers. Both sides are what requests may hold: lengths of
  /// arrays may differ from request to request, so they are no part of it.
  public static func breaking(
    from old: (inputs: [Variable], outputs: [Variable]), to new: (inputs: [Variable], outputs: [Variable])
  ) -> [ContractChange] {
    var found: [ContractChange] = []
    for (index, input) in new.inputs.enumerated() {
      let path = "inputs.\(input.name)"
      guard let place = old.inputs.firstIndex(where: { $0.name == input.name }) else {
        found.append(ContractChange(.newInput, path, "\(word(input)) is needed that callers don't send"))
        continue
      }
      found += compare(accepted: input, sent: old.inputs[place], path, .narrowedInput)
      if place != index { found.append(moved(path, place, index)) }
    }
    for input in old.inputs where !new.inputs.contains(where: { $0.name == input.name }) {
      found.append(
        ContractChange(
          .removedInput, "inputs.\(input.name)", "is no input any more; requests that send it are refused"))
    }
    for (index, output) in old.outputs.enumerated() {
      let path = "outputs.\(output.name)"
      guard let place = new.outputs.firstIndex(where: { $0.name == output.name }) else {
        found.append(ContractChange(.removedOutput, path, "is missing in answers"))
        continue
      }
      found += compare(accepted: output, sent: new.outputs[place], path, .widenedOutput)
      if place != index { found.append(moved(path, index, place)) }
    }
    return found
  }

  static func moved(_ path: String, _ from: Int, _ to: Int) -> ContractChange {
    ContractChange(
      .movedField, path,
      "its field in typed messages has the number \(to + 1), not \(from + 1): keep the order")
  }

  private static func word(_ variable: Variable) -> String {
    variable.dtype.map { "\(variable.type.rawValue) of \($0)" } ?? variable.type.rawValue
  }

  /// What of `sent` would not be understood by who takes `accepted`.
  private static func compare(
    accepted: Variable, sent: Variable, _ path: String, _ kind: Kind
  ) -> [ContractChange] {
    let (from, to) = kind == .narrowedInput ? (sent, accepted) : (accepted, sent)
    let change = ContractChange(kind, path, "\(word(from)) became \(word(to))")
    guard takes(accepted.type, sent.type) else { return [change] }
    guard accepted.type == sent.type else { return [] }
    switch accepted.type {
    case .ndarray, .list: return takes(items: accepted.dtype, sent.dtype) ? [] : [change]
    case .dataFrame: return columns(accepted: accepted.columns, sent: sent.columns, path, kind)
    default: return []
    }
  }

  private static func columns(
    accepted: [TableColumn]?, sent: [TableColumn]?, _ path: String, _ kind: Kind
  ) -> [ContractChange] {
    guard let accepted else { return [] }
    guard let sent else { return [ContractChange(kind, path, "its columns were known and are not any more")] }
    var found: [ContractChange] = []
    for column in accepted {
      let path = "\(path).\(column.name)"
      guard let other = sent.first(where: { $0.name == column.name }) else {
        found.append(
          ContractChange(
            kind == .narrowedInput ? .newInput : .removedOutput, path,
            kind == .narrowedInput
              ? "a column is needed that callers don't send" : "the column is missing in answers"))
        continue
      }
      if !takes(items: column.dtype, other.dtype) {
        let (from, to) = kind == .narrowedInput ? (other, column) : (column, other)
        found.append(ContractChange(kind, path, "\(from.dtype) became \(to.dtype)"))
      }
    }
    return found
  }

  /// Whether every value of `sent` is one of `accepted`. `any` holds all; a whole number is a number.
  static func takes(_ accepted: VariableType, _ sent: VariableType) -> Bool {
    accepted == sent || accepted == .any || (accepted == .float && sent == .int)
  }

  /// The same for items of arrays, lists and columns, by numpy's names; nil holds all.
  static func takes(items accepted: String?, _ sent: String?) -> Bool {
    guard let accepted, accepted != "object" else { return true }
    guard let sent else { return false }
    if accepted == sent { return true }
    guard let wide = NumberType(accepted), let narrow = NumberType(sent) else { return false }
    return wide.holds(narrow)
  }

  /// A type of numbers: how many whole bits it holds without loss.
  private struct NumberType {
    enum Family: Int { case bool, unsigned, signed, float, complex }
    let family: Family
    /// Bits of whole numbers that are exact.
    let bits: Int

    init?(_ name: String) {
      switch name {
      case "bool": (family, bits) = (.bool, 1)
      case "uint8": (family, bits) = (.unsigned, 8)
      case "uint16": (family, bits) = (.unsigned, 16)
      case "uint32": (family, bits) = (.unsigned, 32)
      case "uint64": (family, bits) = (.unsigned, 64)
      case "int8": (family, bits) = (.signed, 7)
      case "int16": (family, bits) = (.signed, 15)
      case "int32": (family, bits) = (.signed, 31)
      case "int64", "int": (family, bits) = (.signed, 63)
      case "float16": (family, bits) = (.float, 11)
      case "float32": (family, bits) = (.float, 24)
      case "float64", "float": (family, bits) = (.float, 53)
      case "complex64": (family, bits) = (.complex, 24)
      case "complex128": (family, bits) = (.complex, 53)
      default: return nil
      }
    }

    func holds(_ other: NumberType) -> Bool {
      // Truth is no number in JSON, and nothing else is true or false.
      if family == .bool || other.family == .bool { return family == other.family }
      return family.rawValue >= other.family.rawValue && bits >= other.bits
    }
  }
}
