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
  /// Of an array: numpy's name of the type of its items in the checkpoint, like `float32`; of a list: Python's name where all
  /// items are of one kind, `int`, `float`, `bool` or `str`.
  public var dtype: String?
  /// Of an array: its lengths in the checkpoint; requests may have others.
  public var shape: [Int]?
  /// Of a table: its columns in the checkpoint.
  public var columns: [TableColumn]?

  public init(
    name: String, type: VariableType, dtype: String? = nil, shape: [Int]? = nil, columns: [TableColumn]? = nil
  ) {
    self.name = name
    self.type = type
    self.dtype = dtype
    self.shape = shape
    self.columns = columns
  }

  /// Adds what the checkpoint says of a value of the declared type.
  func refined(by seen: CheckpointManifest.Variable?) -> Variable {
    var result = self
    switch type {
    case .ndarray:
      result.dtype = seen?.dtype
      result.shape = seen?.shape
    case .list: result.dtype = seen?.dtype
    case .dataFrame: result.columns = seen?.columns
    default: break
    }
    return result
  }
}

/// A column of a pandas.DataFrame.
public struct TableColumn: Sendable, Codable, Hashable {
  public var name: String
  public var dtype: String
  /// True where its name is a whole number in Python; `name` is that number as text.
  public var integer: Bool?

  public init(name: String, dtype: String, integer: Bool? = nil) {
    self.name = name
    self.dtype = dtype
    self.integer = integer
  }
}
