# The Python package: understudy/_core.abi3.so, made from the public headers by bind.py. Built for a
# wheel alone (pyproject.toml), which holds the program, the helpers and the library beside it.

set(PY "${CMAKE_SOURCE_DIR}/scripts/python")
set(CORE_C "${CMAKE_BINARY_DIR}/python/core.c")
set(CORE_SETTINGS "${CMAKE_BINARY_DIR}/python/_settings.py")
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/python)
add_custom_command(OUTPUT ${CORE_C} ${CORE_SETTINGS}
  COMMAND ${Python_EXECUTABLE} ${PY}/bind.py --cc ${CMAKE_C_COMPILER} --root ${CMAKE_SOURCE_DIR}
    --exports ${EXPORTS} --c ${CORE_C} --settings ${CORE_SETTINGS}
  DEPENDS ${PUBLIC} ${EXPORTS} ${PY}/bind.py ${PY}/bridge.h ${PY}/callbacks.cdef
    scripts/package/understudy.h VERBATIM)
add_library(python_core MODULE ${CORE_C})
target_include_directories(python_core PRIVATE ${Python_INCLUDE_DIRS} scripts/package)
target_compile_definitions(python_core PRIVATE Py_LIMITED_API=0x030B0000)
target_compile_options(python_core PRIVATE -O1 -g0 -Wno-missing-field-initializers)
target_link_libraries(python_core PRIVATE libunderstudy)

# As they lie in the package: understudy/_core.abi3.so, lib/, bin/, libexec/; MuJoCo is the wheel
# mujoco-core's, beside the package. A wheel has no links, so the library has one name.
set_target_properties(python_core PROPERTIES PREFIX "" OUTPUT_NAME _core SUFFIX .abi3.so
  INSTALL_RPATH "$ORIGIN/lib;$ORIGIN/../mujoco")
set_target_properties(libunderstudy PROPERTIES VERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  INSTALL_RPATH "$ORIGIN/../../mujoco")
set_target_properties(understudy PROPERTIES INSTALL_RPATH "$ORIGIN/../lib;$ORIGIN/../../mujoco")
option(UNDERSTUDY_WHEEL_FILM "The wheel has the helper that decodes film" ON)
if(NOT UNDERSTUDY_WHEEL_FILM)
  list(REMOVE_ITEM HELPERS understudy-film)
endif()
add_custom_target(python_wheel DEPENDS python_core understudy ${HELPERS})
install(TARGETS python_core LIBRARY DESTINATION . COMPONENT python)
install(FILES ${CORE_SETTINGS} DESTINATION . COMPONENT python)
install(TARGETS libunderstudy LIBRARY DESTINATION lib COMPONENT python NAMELINK_SKIP)
install(TARGETS understudy RUNTIME DESTINATION bin COMPONENT python)
install(TARGETS ${HELPERS} RUNTIME DESTINATION libexec COMPONENT python)
if(TARGET understudy_cuda)
  install(TARGETS understudy_cuda LIBRARY DESTINATION lib/understudy COMPONENT python)
endif()
