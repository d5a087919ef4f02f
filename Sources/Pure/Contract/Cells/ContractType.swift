public import Domain

/// What a variable is on every wire: the declared type, refined by the value that the checkpoint holds.
public enum ContractType: Sendable, Equatable {
  case object, text, integer, number, boolean, bytes, image, time, any
  /// Of items of one kind, where the checkpoint's are.
  case list(ListItem?)
  case tensor(TensorType)
  case table([TableColumn])

  /// The type of a variable with what its checkpoint says of it.
  public init(_ variable: Variable) {
    self =
      switch variable.type {
      case .dict: .object
      case .list: .list(variable.dtype.flatMap(ListItem.init))
      case .str: .text
      case .int: .integer
      case .float: .number
      case .bool: .boolean
      case .bytes: .bytes
      case .datetime: .time
      case .image: .image
      case .any: .any
      case .ndarray:
        .tensor(TensorType(element: variable.dtype.flatMap(TensorElement.init), shape: variable.shape))
      case .dataFrame: .table(variable.columns ?? [])
      }
  }
}

/// The kind of all items of a list, by Python's names.
public enum ListItem: String, Sendable {
  case integer = "int"
  case number = "float"
  case boolean = "bool"
  case text = "str"
}

/// What is known of an array.
public struct TensorType: Sendable, Equatable {
  /// Nil when the type of the numbers is not known, or is none of those that have a form on the wire.
  public var element: TensorElement?
  /// Lengths of the value in the checkpoint; requests may have others.
  public var shape: [Int]?

  public init(element: TensorElement? = nil, shape: [Int]? = nil) {
    self.element = element
    self.shape = shape
  }
}

/// The types of numbers of arrays, by numpy's names.
public enum TensorElement: String, Sendable, CaseIterable {
  case bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, float32, float64

  /// Numpy's name with the order of bytes: what stands before the data of a request.
  var code: String {
    switch self {
    case .bool: "|b1"
    case .int8: "|i1"
    case .uint8: "|u1"
    case .int16: "<i2"
    case .uint16: "<u2"
    case .int32: "<i4"
    case .uint32: "<u4"
    case .int64: "<i8"
    case .uint64: "<u8"
    case .float16: "<f2"
    case .float32: "<f4"
    case .float64: "<f8"
    }
  }

  /// The message that carries such arrays.
  var message: String {
    switch self {
    case .bool: "BoolTensor"
    case .int8, .int16, .int32, .int64: "Int64Tensor"
    case .uint8, .uint16, .uint32, .uint64: "UInt64Tensor"
    case .float16, .float32: "FloatTensor"
    case .float64: "DoubleTensor"
    }
  }

  /// The type of the message's numbers.
  var field: ProtoFile.FieldType {
    switch self {
    case .bool: .bool
    case .int8, .int16, .int32, .int64: .int64
    case .uint8, .uint16, .uint32, .uint64: .uint64
    case .float16, .float32: .float
    case .float64: .double
    }
  }

  var isFloating: Bool { field == .float || field == .double }
}
