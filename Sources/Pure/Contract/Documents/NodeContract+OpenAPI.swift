internal import Domain
public import Wire

extension NodeContract {
  /// The OpenAPI 3.1 document of the node. `server` is the URL that clients reach this server by.
  /// `folder` is the one that the example names.
  public func openAPI(server: String, folder: String = "FOLDER_ID") -> JSONValue {
    let request: JSONValue = [
      "type": "object", "required": ["folder_id", "input"], "additionalProperties": false,
      "properties": [
        "folder_id": ["type": "string", "description": "A folder of the node's access list."],
        "input": ["$ref": "#/components/schemas/Input"],
      ],
    ]
    return [
      "openapi": "3.1.0",
      "info": [
        "title": .string(nodeName), "version": .string(String(release)),
        "description": .string("Node \(nodeName) (\(nodeID)), release \(release)."),
      ],
      "servers": [["url": .string(server)]], "security": [["bearer": []]],
      "paths": .object(
        JSONObject([(key: "/datasphere/v1/nodes/\(nodeID):execute", value: path(folder: folder))])),
      "components": [
        "securitySchemes": ["bearer": ["type": "http", "scheme": "bearer"]],
        "schemas": [
          "ExecuteRequest": request,
          "ExecuteAnswer": [
            "type": "object", "required": ["output"],
            "properties": ["output": ["$ref": "#/components/schemas/Output"]],
          ],
          "Input": Self.object(inputs, answers: false), "Output": Self.object(outputs, answers: true),
          "Status": Self.status,
        ],
      ],
    ]
  }

  private func path(folder: String) -> JSONValue {
    var media: JSONValue = ["schema": ["$ref": "#/components/schemas/ExecuteRequest"]]
    if let example, let value = try? JSONValue(parsing: example) {
      media = media.adding("example", ["folder_id": .string(folder), "input": value])
    }
    return [
      "post": [
        "operationId": "execute", "summary": .string("Run the cell of \(nodeName) once"),
        "requestBody": [
          "required": true,
          "content": ["application/json": media],
        ],
        "responses": [
          "200": [
            "description": "The outputs of the cell.",
            "content": ["application/json": ["schema": ["$ref": "#/components/schemas/ExecuteAnswer"]]],
          ],
          "default": [
            "description": "A status of google.rpc with its details.",
            "content": ["application/json": ["schema": ["$ref": "#/components/schemas/Status"]]],
          ],
        ],
      ]
    ]
  }

  static let status: JSONValue = [
    "type": "object", "required": ["code", "message"],
    "properties": [
      "code": ["type": "integer", "description": "A number of google.rpc.Code."],
      "message": ["type": "string"],
      "details": [
        "type": "array",
        "items": [
          "type": "object", "required": ["@type"], "properties": ["@type": ["type": "string"]],
          "additionalProperties": true,
        ],
      ],
    ],
  ]

  /// The schema of all inputs or outputs.
  private static func object(_ fields: [Field], answers: Bool) -> JSONValue {
    var properties = JSONObject()
    for field in fields { _ = properties.add(field.name, schema(field, answers: answers)) }
    let schema: JSONValue = [
      "type": "object", "properties": .object(properties), "additionalProperties": false,
    ]
    let names = fields.map { JSONValue.string($0.name) }
    return names.isEmpty ? schema : schema.adding("required", .array(names))
  }

  private static func schema(_ field: Field, answers: Bool) -> JSONValue {
    switch field.type {
    case .object: return ["type": "object", "additionalProperties": true]
    case .list(let item):
      let list: JSONValue = ["type": "array", "items": [:]]
      return item.map { list.adding("description", .string("Items are \($0.rawValue) in the checkpoint.")) }
        ?? list
    case .text: return ["type": "string"]
    case .integer: return ["type": "integer"]
    // NaN and infinities have no form in JSON: answers hold null for them.
    case .number: return answers ? ["type": ["number", "null"]] : ["type": "number"]
    case .boolean: return ["type": "boolean"]
    case .bytes: return ["type": "string", "contentEncoding": "base64"]
    case .image:
      return [
        "type": "string", "contentEncoding": "base64",
        "description": .string(answers ? "A PNG file." : "A PNG or JPEG file."),
      ]
    case .time:
      return answers
        ? ["type": ["string", "null"], "description": "A time of ISO 8601."]
        : [
          "type": "string",
          "description": "A time of ISO 8601; without an offset it has none in Python either.",
        ]
    case .any: return ["description": "Any JSON value."]
    case .tensor(let tensor): return array(tensor, answers: answers)
    case .table(let columns): return table(columns, answers: answers)
    }
  }

  private static func array(_ tensor: TensorType, answers: Bool) -> JSONValue {
    let note = ContractType.tensor(tensor).note(.ndarray)
    var nested: JSONValue = item(tensor.element)
    for _ in 0..<min(max(tensor.shape?.count ?? 1, 1), 32) { nested = ["type": "array", "items": nested] }
    if tensor.shape == nil || tensor.element == nil { nested = ["type": "array", "items": [:]] }
    // A value without dimensions is answered with the bare number.
    if answers {
      return (tensor.shape == [] ? item(tensor.element) : nested).adding("description", .string(note))
    }
    let packed: JSONValue = [
      "type": "object", "required": ["dtype", "shape", "data"], "additionalProperties": false,
      "properties": [
        "dtype": .object(
          JSONObject(
            [(key: "type", value: .string("string"))]
              + (tensor.element.map { [(key: "examples", value: .array([.string($0.rawValue)]))] } ?? []))),
        "shape": ["type": "array", "items": ["type": "integer", "minimum": 0]],
        "data": ["type": "string", "contentEncoding": "base64"],
      ],
    ]
    // The number of dimensions of a request may differ from the checkpoint's.
    var forms: [JSONValue] = [["type": "array", "items": [:]], packed]
    if tensor.shape == [] { forms.insert(item(tensor.element), at: 0) }
    return ["description": .string(note), "anyOf": .array(forms)]
  }

  private static func item(_ element: TensorElement?) -> JSONValue {
    guard let element else { return [:] }
    switch element.field {
    case .bool: return ["type": "boolean"]
    case .double, .float: return ["type": ["number", "null"]]
    default: return ["type": "integer"]
    }
  }

  private static func table(_ columns: [TableColumn], answers: Bool) -> JSONValue {
    let note = JSONValue.string(ContractType.table(columns).note(.dataFrame))
    let lists: JSONValue = ["type": "array", "items": ["type": "array", "items": [:]]]
    let split: JSONValue = [
      "type": "object", "required": answers ? ["columns", "index", "data"] : ["columns", "data"],
      "additionalProperties": false,
      "properties": [
        "columns": ["type": "array", "items": [:]], "index": ["type": "array", "items": [:]], "data": lists,
      ],
    ]
    if answers { return split.adding("description", note) }
    var properties = JSONObject()
    for column in columns { _ = properties.add(column.name, cell(column.dtype)) }
    let records: JSONValue = [
      "type": "array",
      "items": ["type": "object", "properties": .object(properties), "additionalProperties": true],
    ]
    return ["description": note, "anyOf": [records, split]]
  }

  /// The schema of a value of a column; pandas takes null in every column.
  private static func cell(_ dtype: String) -> JSONValue {
    let word = dtype.lowercased()
    if word.hasPrefix("int") || word.hasPrefix("uint") { return ["type": ["integer", "null"]] }
    if word.hasPrefix("float") { return ["type": ["number", "null"]] }
    if word.hasPrefix("bool") { return ["type": ["boolean", "null"]] }
    if word.hasPrefix("datetime") || word.hasPrefix("str") { return ["type": ["string", "null"]] }
    return [:]
  }
}

extension JSONValue {
  /// An object with one more member.
  func adding(_ key: String, _ value: JSONValue) -> JSONValue {
    guard case .object(var object) = self, object.add(key, value) else { return self }
    return .object(object)
  }
}
