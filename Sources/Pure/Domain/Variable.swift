/// The types a node's variable may be declared with (`docs/formats/worker-protocol.md`).
public enum VariableType: String, Sendable, Codable, CaseIterable {
  case dict, list, str, int, float, bool, bytes, datetime, any, image
  case ndarray = "numpy.ndarray"
  case dataFrame = "pandas.DataFrame"
}

/// An input or output of a cell node.
public struct Variable: Sendable, Codable, Hashable {
  public var name: String
  public var type: VariableType

  public init(name: String, type: VariableType) {
    self.name = name
    self.type = type
  }
}
